"""The toybirds data set: its sources, their dependence on options, its cache and its errors."""
from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ornet_tf import registry
from ornet_tf.data.source import SPLITS
from ornet_tf.datasets import _toybirds_drawing as drawing
from ornet_tf.datasets import toybirds
from ornet_tf.errors import UserError
from tests.datasets import toybirds_masks


def _images(source) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in source.images])


def _loop_box(mask):
    """The tight half-open box of a mask, computed pixel by pixel."""
    ys, xs = zip(*[(y, x) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if mask[y, x]])
    return [min(ys), min(xs), max(ys) + 1, max(xs) + 1]


def test_the_registry_finds_the_data_set_but_not_its_drawing_module():
    assert registry.find("datasets", "toybirds") is toybirds.load
    assert not [name for name in registry.choices("datasets") if "drawing" in name]
    registry.check_options(toybirds.load, {"seed": 1, "image_size": 64}, where="config.dataset")


@pytest.mark.parametrize("split", SPLITS)
def test_a_source_has_the_documented_content(split):
    source = toybirds.load(split, train_count=13, validation_count=14, test_count=15, image_size=48)
    count = {"train": 13, "validation": 14, "test": 15}[split]
    assert len(source) == count and len(set(source.names)) == count
    assert source.names[0].startswith(split)
    assert source.labels.dtype == np.int32
    assert all(isinstance(image, bytes) and image.startswith(b"\x89PNG\r\n\x1a\n") for image in source.images)
    assert _images(source).shape == (count, 48, 48, 3)
    if split == "train":
        assert source.boxes is None
    else:
        assert [box.shape for box in source.boxes] == [(1, 4)] * count
        assert {box.dtype for box in source.boxes} == {np.dtype(np.float32)}


def test_default_counts_and_classes():
    assert len(toybirds.load("test", image_size=32)) == 1000
    source = toybirds.load("validation")
    assert len(source) == 500
    assert len(source.class_names) == 6
    assert np.ptp(np.bincount(source.labels, minlength=6)) <= 1


@pytest.mark.parametrize("classes", [2, 5, 12, 20])
def test_classes_are_balanced_and_have_names(classes):
    source = toybirds.load("test", num_classes=classes, test_count=3 * classes + 1)
    assert len(set(source.class_names)) == classes
    counts = np.bincount(source.labels, minlength=classes)
    assert counts.sum() == 3 * classes + 1 and counts.min() == 3 and counts.max() == 4


def test_images_are_repeatable_and_differ_between_seeds_splits_and_indices():
    def images(split="test", seed=3):
        return toybirds.load(split, seed=seed, train_count=20, validation_count=20, test_count=20).images

    assert images() == images()
    everything = [*images(), *images(seed=4), *images("train"), *images("validation"), *images("train", seed=4)]
    assert len(set(everything)) == len(everything)


def test_counts_do_not_change_images():
    few = toybirds.load("test", test_count=5)
    many = toybirds.load("test", test_count=37, train_count=1, validation_count=2)
    assert list(many.images[:5]) == list(few.images)
    np.testing.assert_array_equal(many.labels[:5], few.labels)
    np.testing.assert_array_equal(np.stack(many.boxes[:5]), np.stack(few.boxes))
    assert many.masks[:5] == few.masks


@pytest.mark.parametrize("size", [64, 33])
def test_boxes_are_the_tight_boxes_of_the_masks(size):
    source = toybirds.load("test", test_count=30, image_size=size)
    masks = toybirds_masks.draw(30, image_size=size)
    assert masks.dtype == np.uint8 and masks.shape == (30, size, size)
    for mask, box in zip(masks, source.boxes):
        assert set(np.unique(mask)) == {0, drawing.BODY, drawing.HEAD}
        assert box.tolist() == [_loop_box(mask)]
    stored = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in source.masks])
    np.testing.assert_array_equal(stored, 255 * (masks > 0))
    assert toybirds.load("train", train_count=2, image_size=size).masks is None


def _check_equal(a, b):
    assert list(a.images) == list(b.images) and list(a.names) == list(b.names)
    assert list(a.class_names) == list(b.class_names)
    assert a.masks == b.masks
    np.testing.assert_array_equal(a.labels, b.labels)
    assert (a.boxes is None) == (b.boxes is None)
    if a.boxes is not None:
        np.testing.assert_array_equal(np.stack(a.boxes), np.stack(b.boxes))


@pytest.mark.parametrize("split", ["train", "test"])
def test_cached_sources_equal_new_ones(tmp_path, split):
    options = {"train_count": 20, "test_count": 20}
    folder = tmp_path / "new" / "folder"
    plain = toybirds.load(split, **options)
    _check_equal(toybirds.load(split, cache_dir=str(folder), **options), plain)
    (file,) = folder.iterdir()
    assert file.name.startswith(f"toybirds-{split}-") and file.suffix == ".npz"
    written = file.stat().st_mtime_ns
    _check_equal(toybirds.load(split, cache_dir=str(folder), **options), plain)
    assert [f.stat().st_mtime_ns for f in folder.iterdir()] == [written]


def test_the_cache_is_read(tmp_path):
    toybirds.load("test", test_count=4, cache_dir=str(tmp_path))
    (file,) = tmp_path.iterdir()
    with np.load(file) as stored:
        arrays = dict(stored)
    arrays["boxes"] = arrays["boxes"] + 1000
    np.savez(file, **arrays)
    assert np.min(toybirds.load("test", test_count=4, cache_dir=str(tmp_path)).boxes) >= 1000


def test_every_option_has_its_own_cache_file(tmp_path):
    changes = [
        {}, {"seed": 1}, {"image_size": 65}, {"num_classes": 7}, {"test_count": 3}, {"head_blank_probability": 0.5},
        {"body_noise_probability": 0.5}, {"body_hue_deviation": 15.5}, {"distractor_count": 6},
        {"birds": (1, 2)}, {"birds": (2, 2)},
    ]  # fmt: skip
    for change in changes:
        toybirds.load("test", cache_dir=str(tmp_path), **{"test_count": 2, **change})
    assert len(list(tmp_path.iterdir())) == len(changes)
    toybirds.load("test", cache_dir=str(tmp_path), test_count=2, train_count=5, validation_count=6)
    assert len(list(tmp_path.iterdir())) == len(changes)


@pytest.mark.parametrize("size", [64, 33])
def test_several_birds_have_a_box_each_around_their_visible_parts(size):
    source = toybirds.load("test", test_count=90, image_size=size, birds=(2, 4))
    style = drawing.Style(size, 6, 0.25, 0.25, 16.0, 7, birds=(2, 4))
    images, masks, owners = drawing.draw(0, SPLITS.index("test"), np.arange(90), source.labels, style)
    np.testing.assert_array_equal(_images(source), images)
    assert {len(boxes) for boxes in source.boxes} == {2, 3, 4}
    for boxes, owner in zip(source.boxes, owners):
        assert boxes.dtype == np.float32
        assert boxes.tolist() == [_loop_box(owner == i + 1) for i in range(owner.max())]
    np.testing.assert_array_equal(masks > 0, owners > 0)
    stored = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in source.masks])
    np.testing.assert_array_equal(stored, 255 * (masks > 0))


def test_sources_with_several_birds_are_cached_and_do_not_depend_on_counts(tmp_path):
    options = {"birds": (1, 3), "cache_dir": str(tmp_path)}
    new, cached = (toybirds.load("test", test_count=12, **options) for _ in range(2))
    longer = toybirds.load("test", test_count=20, **options).select(range(12))
    for other in (cached, longer):
        assert [boxes.tolist() for boxes in other.boxes] == [boxes.tolist() for boxes in new.boxes]
        assert list(other.images) == list(new.images) and list(other.masks) == list(new.masks)


def test_images_with_one_bird_do_not_depend_on_the_highest_number():
    one, several = (toybirds.load("test", test_count=30, birds=birds) for birds in ((1, 1), (1, 2)))
    alone = [i for i, boxes in enumerate(several.boxes) if len(boxes) == 1]
    assert 5 < len(alone) < 25
    assert [one.images[i] for i in alone] == [several.images[i] for i in alone]


def _flip_a_byte(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def _other_arrays(content):
    del content
    buffer = io.BytesIO()
    np.savez(buffer, encoded=np.zeros(3, np.uint8), sizes=np.ones(3, np.int64), boxes=np.zeros((3, 4), np.int32))
    return buffer.getvalue()


def _no_arrays(content):
    del content
    buffer = io.BytesIO()
    np.savez(buffer, something=np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[: len(c) // 2], lambda c: c[:-1], lambda c: b"", lambda c: b"no archive", _flip_a_byte, _other_arrays,
     _no_arrays],
    ids=["half", "one byte short", "empty", "text", "a flipped byte", "other arrays", "no arrays"],
)  # fmt: skip
def test_a_damaged_cache_is_made_again_with_a_warning(tmp_path, caplog, damage):
    plain = toybirds.load("validation", validation_count=8, cache_dir=str(tmp_path))
    (file,) = tmp_path.iterdir()
    good = file.read_bytes()
    file.write_bytes(damage(good))
    with caplog.at_level("WARNING"):
        _check_equal(toybirds.load("validation", validation_count=8, cache_dir=str(tmp_path)), plain)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert str(file) in warning
    caplog.clear()
    with caplog.at_level("WARNING"):
        _check_equal(toybirds.load("validation", validation_count=8, cache_dir=str(tmp_path)), plain)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    assert [f.name for f in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"split": "training"}, ValueError, ["split", "train, validation, test", "'training'"]),
        ({"seed": -1}, ValueError, ["seed", "at least 0", "-1"]),
        ({"seed": "0"}, UserError, ["seed", "an integer", "'0'"]),
        ({"image_size": 31}, ValueError, ["image_size", "at least 32", "31"]),
        ({"image_size": 64.5}, UserError, ["image_size", "an integer", "64.5"]),
        ({"num_classes": 1}, ValueError, ["num_classes", "from 2 to 20", "1"]),
        ({"num_classes": 21}, ValueError, ["num_classes", "from 2 to 20", "21"]),
        ({"num_classes": True}, UserError, ["num_classes", "an integer", "True"]),
        ({"train_count": 0}, ValueError, ["train_count", "at least 1", "0"]),
        ({"test_count": None}, UserError, ["test_count", "an integer", "None"]),
        ({"validation_count": -5}, ValueError, ["validation_count", "at least 1", "-5"]),
        ({"head_blank_probability": 1.5}, ValueError, ["head_blank_probability", "from 0 to 1", "1.5"]),
        ({"body_noise_probability": "no"}, UserError, ["body_noise_probability", "a number", "'no'"]),
        ({"body_noise_probability": float("nan")}, ValueError, ["body_noise_probability", "from 0 to 1", "nan"]),
        ({"body_hue_deviation": -1}, ValueError, ["body_hue_deviation", "from 0 to 180", "-1"]),
        ({"distractor_count": -1}, ValueError, ["distractor_count", "at least 0", "-1"]),
        ({"birds": 2}, UserError, ["birds", "two integers", "2"]),
        ({"birds": (1, 2, 3)}, UserError, ["birds", "two integers", "(1, 2, 3)"]),
        ({"birds": "12"}, UserError, ["birds", "two integers", "'12'"]),
        ({"birds": (0, 2)}, UserError, ["birds[0]", "an integer from 1 to 8", "0"]),
        ({"birds": (3, 2)}, UserError, ["birds[1]", "an integer from 3 to 8", "2"]),
        ({"birds": (1, 9)}, UserError, ["birds[1]", "an integer from 1 to 8", "9"]),
    ],
)
def test_wrong_options_are_named(options, error, words):
    with pytest.raises(error) as raised:
        toybirds.load(**{"split": "test", **options})
    message = str(raised.value)
    assert message.startswith("toybirds: ") and message.endswith(".")
    for word in words:
        assert word in message
