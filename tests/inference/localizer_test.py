import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf import build
from ornet_tf.data import loading
from ornet_tf.inference import localizer
from ornet_tf.maps import boxes


@pytest.fixture(scope="module")
def model(tiny_run):
    return localizer.load(*tiny_run)


@pytest.fixture(scope="module", name="of_three")
def _of_three(tiny_run):
    """A model that finds up to three objects, at a threshold that gives some images more, some fewer."""
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.evaluation.update({"box_rule": "largest", "threshold": 0.52})
    config.export.max_boxes = 3
    return localizer.load(config, workdir)


@pytest.fixture(scope="module", name="files")
def _files(tiny_run):
    """Images, and files that are none at the places 1 and 4."""
    images = list(loading.load_split(tiny_run[0], "test").images)
    return [images[0], b"no image", *images[1:3], images[3][:200], *images[4:]]


BROKEN = {1: b"neither JPEG nor PNG", 4: b"truncated or damaged PNG"}


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


def test_names_and_scores_belong_to_the_classes(model, tiny_run):
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
    boxes_found = model.localize(tf.constant(encoded))["detection_boxes"].numpy()
    assert boxes_found.shape == (2, 1, 4)
    assert np.all((boxes_found >= 0) & (boxes_found <= 1))


def test_broken_files_cost_their_own_rows_only(model, of_three, files):
    good = [i for i in range(len(files)) if i not in BROKEN]
    for each, most in ((model, 1), (of_three, 3)):
        outputs = {name: value.numpy() for name, value in each.localize(tf.constant(files)).items()}
        alone = each.localize(tf.constant([files[i] for i in good]))
        for name, value in alone.items():
            if value.dtype.is_floating:
                np.testing.assert_allclose(outputs[name][good], value, atol=1e-5)
            else:
                np.testing.assert_array_equal(outputs[name][good], value)
        assert outputs["status"].tolist() == [BROKEN.get(i, b"") for i in range(len(files))]
        for i in BROKEN:
            assert outputs["num_detections"][i] == 0
            assert not outputs["detection_boxes"][i].any() and not outputs["activation_map"][i].any()
            assert outputs["detection_scores"][i].tolist() == [0.0] * most
            assert outputs["detection_classes"][i].tolist() == [localizer.NO_CLASS] * most
            assert outputs["detection_class_names"][i].tolist() == [b""] * most


def test_nothing_but_broken_files_and_no_file_at_all(model):
    outputs = model.localize(tf.constant([b"", b"x"]))
    assert outputs["num_detections"].numpy().tolist() == [0, 0]
    assert model.locate(tf.constant([b""]))["status"].numpy().tolist() == [b"an empty file"]


def test_no_file_at_all_gives_no_rows(model, of_three):
    for each in (model, of_three):
        outputs = each.localize(tf.constant([], tf.string))
        assert {len(value) for value in outputs.values()} == {0}
        one = each.localize(tf.constant([b""]))
        assert {name: value.shape[1:] for name, value in outputs.items()} == {k: v.shape[1:] for k, v in one.items()}
        assert {name: value.dtype for name, value in outputs.items()} == {k: v.dtype for k, v in one.items()}
        assert {len(value) for value in each.locate(tf.constant([], tf.string)).values()} == {0}
        assert {len(value) for value in each.localize_pixels(tf.zeros([0, 9, 9, 3], tf.uint8)).values()} == {0}


def test_several_boxes_are_those_of_the_components_and_the_rest_is_filled(of_three, files):
    outputs = {name: value.numpy() for name, value in of_three.localize(tf.constant(files)).items()}
    in_view, count = boxes.find_largest_boxes(outputs["activation_map"], 0.52, max_boxes=3)
    counts = np.where(outputs["status"] == b"", count, 0)
    assert len(set(counts)) > 1  # so that there is something to fill
    np.testing.assert_array_equal(outputs["num_detections"], counts)
    there = np.arange(3) < counts[:, np.newaxis]
    expected = np.where(there[..., np.newaxis], (in_view.numpy() * 32 + 2) / 36, 0)
    np.testing.assert_allclose(outputs["detection_boxes"], expected, atol=1e-5)
    for row, is_there in enumerate(there):
        for name, nothing in (("scores", 0.0), ("classes", localizer.NO_CLASS), ("class_names", b"")):
            values = outputs[f"detection_{name}"][row]
            assert set(values[is_there]) == set(values[:1][is_there[:1]])  # of one image: one class
            assert all(value == nothing for value in values[~is_there])
            assert nothing not in values[is_there]


def test_boxes_alone_are_the_same_boxes(model, of_three, files):
    for each in (model, of_three):
        whole, found = each.localize(tf.constant(files)), each.locate(tf.constant(files))
        assert set(found) == {"detection_boxes", "num_detections", "status"}
        for name, value in found.items():
            if value.dtype.is_floating:
                np.testing.assert_allclose(value, whole[name], atol=1e-5)
            else:
                np.testing.assert_array_equal(value, whole[name])


def test_pixels_give_what_their_png_gives(of_three):
    pixels = np.random.default_rng(1).integers(0, 256, (3, 41, 29, 3), np.uint8)
    found = of_three.localize_pixels(tf.constant(pixels))
    of_files = of_three.localize(tf.constant([tf.io.encode_png(image).numpy() for image in pixels]))
    assert set(found) == set(of_files)
    for name, value in found.items():
        if value.dtype.is_floating:
            np.testing.assert_allclose(value, of_files[name], atol=1e-5)
        else:
            np.testing.assert_array_equal(value, of_files[name])


def test_limits_are_those_of_the_config(tiny_run, files):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.export.update({"max_pixels": 32 * 32, "max_bytes": 4000})
    model = localizer.load(config, workdir)
    large = tf.io.encode_png(tf.zeros([32, 33, 3], tf.uint8)).numpy()
    status = model.locate(tf.constant([files[0], large, large[:8] * 600]))["status"].numpy()
    assert status.tolist() == [
        b"",
        b"32 x 33 pixels (height x width); at most 1024 are read",
        b"4800 bytes; at most 4000 are read",
    ]


def test_a_row_without_a_map_is_refused(tiny_run):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.export.row = "evaluator"
    with pytest.raises(ValueError, match="'evaluator' lacks activation_map"):
        localizer.load(config, workdir)


def test_a_row_that_needs_labels_is_refused(tiny_run):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.export.row = "cam_true_label"
    with pytest.raises(ValueError, match="classes='label'.*config.export.row"):
        localizer.load(config, workdir)


def test_an_untrained_workdir_is_named(tiny_run, tmp_path):
    with pytest.raises(FileNotFoundError, match="data.json is missing: expected the --workdir of an ornet_tf.train"):
        localizer.load(tiny_run[0], str(tmp_path))
