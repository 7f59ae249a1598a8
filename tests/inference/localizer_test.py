import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf import build
from ornet_tf.data import loading
from ornet_tf.inference import localizer
from ornet_tf.maps import boxes
from tests import broken_files
from tests.data import fuzz_images
from tests.signatures import BOXES_ONLY, expect_same


@pytest.fixture(scope="module")
def model(tiny_run):
    return localizer.load(*tiny_run)


@pytest.fixture(scope="module", name="three_box_model")
def _three_box_model(tiny_run):
    """A model that finds up to three objects, with a threshold at which some images have fewer."""
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.evaluation.update({"box_rule": "largest", "threshold": 0.52})
    config.export.max_boxes = 3
    return localizer.load(config, workdir)


@pytest.fixture(scope="module", name="files")
def _files(tiny_run):
    """Image files, with broken files at the positions 1 and 4."""
    images = list(loading.load_split(tiny_run[0], "test").images)
    return [images[0], b"no image", *images[1:3], images[3][:200], *images[4:]]


BROKEN = {1: b"neither JPEG nor PNG", 4: b"truncated or damaged PNG"}


@pytest.mark.slow
def test_a_model_that_sees_the_whole_image_can_find_its_edges(tiny_run):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.evaluation.threshold = 0.0  # the whole view
    files = tf.constant(list(loading.load_split(config, "test").images)[:2])
    found = {}
    for view in ("centre_crop", "whole"):
        config.input.evaluation_view = view
        model = localizer.load(config, workdir)
        found[view] = model.localize(files)["detection_boxes"][0, 0].numpy()
    np.testing.assert_allclose(found["centre_crop"], [2 / 36, 2 / 36, 34 / 36, 34 / 36], atol=1e-6)
    np.testing.assert_array_equal(found["whole"], [0, 0, 1, 1])


def test_boxes_and_classes_are_those_of_evaluation(model, tiny_run):
    config, workdir = tiny_run
    source = loading.load_split(config, "test")
    outputs = model.localize(tf.constant(list(source.images)))
    method = build.trained_method(config, "stage_two", workdir, 3)
    start = 0
    for batch in loading.evaluation_batches(config, source):
        expected = method.predict(batch["image"])
        count = len(batch["label"])
        in_view = boxes.find_boxes(expected["activation_map"], tf.constant([0.5]), rule="tight").numpy()
        # The view is the middle 32 of 36 pixels.
        in_original = (in_view * 32 + 2) / 36
        np.testing.assert_allclose(outputs["detection_boxes"][start : start + count], in_original, atol=1e-5)
        np.testing.assert_array_equal(
            outputs["detection_classes"][start : start + count, 0], tf.argmax(expected["logits"], axis=-1)
        )
        start += count
    assert start == 18


def test_a_refined_map_has_half_the_sides_of_the_view_and_decides_the_boxes(model, tiny_run):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.phase.stage_two.options.refine = True
    files = tf.constant(list(loading.load_split(config, "test").images)[:3])
    refining = localizer.load(config, workdir)
    found = refining.localize(files)
    assert found["activation_map"].shape == (3, 16, 16)
    in_view = boxes.find_boxes(found["activation_map"], tf.constant([0.5])).numpy()
    np.testing.assert_allclose(found["detection_boxes"], (in_view * 32 + 2) / 36, atol=1e-5)
    np.testing.assert_allclose(found["detection_scores"], model.localize(files)["detection_scores"], atol=1e-6)


def test_names_and_scores_fit_the_classes(model, tiny_run):
    config, _ = tiny_run
    source = loading.load_split(config, "test")
    outputs = {k: v.numpy() for k, v in model.localize(tf.constant(source.images[:4])).items()}
    for label, name in zip(outputs["detection_classes"][:, 0], outputs["detection_class_names"][:, 0]):
        assert name.decode() == source.class_names[label]
    assert np.all((outputs["detection_scores"] > 1 / 3 - 1e-6) & (outputs["detection_scores"] <= 1))
    assert outputs["activation_map"].shape == (4, 8, 8)


def test_images_of_different_sizes_and_kinds_share_a_batch(model):
    encoded = []
    for size, kind in (((50, 30), "PNG"), ((30, 90), "JPEG")):
        buffer = io.BytesIO()
        Image.new("RGB", size, (200, 30, 40)).save(buffer, kind)
        encoded.append(buffer.getvalue())
    detected = model.localize(tf.constant(encoded))["detection_boxes"].numpy()
    assert detected.shape == (2, 1, 4)
    assert np.all((detected >= 0) & (detected <= 1))


def test_broken_files_affect_their_own_rows_only(model, three_box_model, files):
    good = [i for i in range(len(files)) if i not in BROKEN]
    for each, most in ((model, 1), (three_box_model, 3)):
        outputs = {name: value.numpy() for name, value in each.localize(tf.constant(files)).items()}
        expected = each.localize(tf.constant([files[i] for i in good]))
        expect_same({name: value[good] for name, value in outputs.items()}, expected)
        assert outputs["status"].tolist() == [BROKEN.get(i, b"") for i in range(len(files))]
        for i in BROKEN:
            assert outputs["num_detections"][i] == 0
            assert not outputs["detection_boxes"][i].any() and not outputs["activation_map"][i].any()
            assert outputs["detection_scores"][i].tolist() == [0.0] * most
            assert outputs["detection_classes"][i].tolist() == [localizer.NO_CLASS] * most
            assert outputs["detection_class_names"][i].tolist() == [b""] * most


def test_a_batch_of_broken_files_has_no_detections(model):
    outputs = model.localize(tf.constant([b"", b"x"]))
    assert outputs["num_detections"].numpy().tolist() == [0, 0]
    assert model.localize_boxes(tf.constant([b""]))["status"].numpy().tolist() == [b"an empty file"]


def test_an_empty_batch_gives_no_rows(model, three_box_model):
    for each in (model, three_box_model):
        outputs = each.localize(tf.constant([], tf.string))
        assert {len(value) for value in outputs.values()} == {0}
        single = each.localize(tf.constant([b""]))
        assert {name: value.shape[1:] for name, value in outputs.items()} == {k: v.shape[1:] for k, v in single.items()}
        assert {name: value.dtype for name, value in outputs.items()} == {k: v.dtype for k, v in single.items()}
        assert {len(value) for value in each.localize_boxes(tf.constant([], tf.string)).values()} == {0}
        assert {len(value) for value in each.localize_pixels(tf.zeros([0, 9, 9, 3], tf.uint8)).values()} == {0}


def test_several_boxes_are_those_of_the_components_and_unused_rows_are_padded(three_box_model, files):
    outputs = {name: value.numpy() for name, value in three_box_model.localize(tf.constant(files)).items()}
    in_view, count = boxes.find_largest_boxes(outputs["activation_map"], 0.52, max_boxes=3)
    counts = np.where(outputs["status"] == b"", count, 0)
    assert len(set(counts)) > 1  # some rows are unused
    np.testing.assert_array_equal(outputs["num_detections"], counts)
    is_detection = np.arange(3) < counts[:, np.newaxis]
    expected = np.where(is_detection[..., np.newaxis], (in_view.numpy() * 32 + 2) / 36, 0)
    np.testing.assert_allclose(outputs["detection_boxes"], expected, atol=1e-5)
    for row, is_used in enumerate(is_detection):
        for name, padding in (("scores", 0.0), ("classes", localizer.NO_CLASS), ("class_names", b"")):
            values = outputs[f"detection_{name}"][row]
            assert set(values[is_used]) == set(values[:1][is_used[:1]])  # an image has one class
            assert all(value == padding for value in values[~is_used])
            assert padding not in values[is_used]


def test_boxes_of_parts_are_those_of_split_components(tiny_run, files):
    config = tiny_run[0].copy_and_resolve_references()
    config.evaluation.update({"box_rule": "largest", "threshold": 0.3})
    config.export.update({"max_boxes": 4, "split_boxes": True})
    model = localizer.load(config, tiny_run[1])
    outputs = model.localize(tf.constant([file for i, file in enumerate(files) if i not in BROKEN]))
    maps = outputs["activation_map"]
    in_view, count = boxes.find_largest_boxes(maps, 0.3, max_boxes=4, split_map=maps)
    assert np.any(count != boxes.find_largest_boxes(maps, 0.3, max_boxes=4)[1])
    np.testing.assert_array_equal(outputs["num_detections"], count)
    expected = np.where(np.arange(4)[:, np.newaxis] < count[:, np.newaxis, np.newaxis], (in_view * 32 + 2) / 36, 0)
    np.testing.assert_allclose(outputs["detection_boxes"], expected, atol=1e-5)


def test_localize_boxes_finds_the_boxes_of_localize(model, three_box_model, files):
    for each in (model, three_box_model):
        expected, actual = each.localize(tf.constant(files)), each.localize_boxes(tf.constant(files))
        expect_same(actual, {name: expected[name] for name in BOXES_ONLY})


def test_pixels_have_the_outputs_of_their_png(three_box_model):
    pixels = np.random.default_rng(1).integers(0, 256, (3, 41, 29, 3), np.uint8)
    actual = three_box_model.localize_pixels(tf.constant(pixels))
    files = tf.constant([tf.io.encode_png(image).numpy() for image in pixels])
    expect_same(actual, three_box_model.localize(files))


@pytest.mark.parametrize("scale", [1, 20])  # the view needs 36 pixels
def test_boxes_of_a_turned_photograph_are_fractions_of_the_upright_one(scale):
    method = fuzz_images.Brightness()
    model = localizer.Localizer(method, ["a", "b", "c"], resize=36, crop=32, threshold=0.5, box_rule="largest")
    top, left, bottom, right = np.multiply([6, 14, 18, 26], scale)  # a cell of the map is 4 of the 36 pixels wide
    upright = np.zeros([36 * scale, 40 * scale, 3], np.uint8)
    upright[top:bottom, left:right] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter, clockwise
    file = broken_files.encode(Image.fromarray(np.rot90(upright)), "JPEG", exif=turned.tobytes(), quality=95)
    box = model.localize_boxes(tf.constant([file]))["detection_boxes"].numpy()[0, 0]
    view_left, view_right = ((round(edge / 40 * 36 - 2) // 4 * 4 + 2) / 36 for edge in (14, 29))
    np.testing.assert_allclose(box, [6 / 36, view_left, 18 / 36, view_right], atol=1e-6)


def test_limits_are_those_of_the_config(tiny_run, files):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.export.update({"max_pixels": 32 * 32, "max_bytes": 4000})
    model = localizer.load(config, workdir)
    large = tf.io.encode_png(tf.zeros([32, 33, 3], tf.uint8)).numpy()
    status = model.localize_boxes(tf.constant([files[0], large, large[:8] * 600]))["status"].numpy()
    assert status.tolist() == [
        b"",
        b"32 x 33 pixels (height x width); at most 1024 are read",
        b"4800 bytes; at most 4000 are read",
    ]


def test_a_row_without_a_map_is_refused(tiny_run):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.export.row = "evaluator"
    with pytest.raises(ValueError, match="config.export.row.* 'evaluator'.* activation_map"):
        localizer.load(config, workdir)


def test_a_row_that_needs_labels_is_refused(tiny_run):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.export.row = "cam_true_label"
    with pytest.raises(ValueError, match="labels.* config.export.row"):
        localizer.load(config, workdir)


def test_an_untrained_workdir_is_refused(tiny_run, tmp_path):
    with pytest.raises(FileNotFoundError, match="data.json.* --workdir"):
        localizer.load(tiny_run[0], str(tmp_path))
