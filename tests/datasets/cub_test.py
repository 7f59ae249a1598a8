"""CUB-200-2011: its lists, the validation split, the messages, and a test of real images if there are any."""
from __future__ import annotations

import os
import pathlib
import time

import numpy as np
import pytest
from PIL import Image

from ornet_tf.datasets import cub
from ornet_tf.errors import UserError
from tests.datasets import cub_tree
from tests.datasets.cub_tree import LISTINGS, ROWS, edit, ids_of


@pytest.fixture
def root(tmp_path):
    return cub_tree.write(tmp_path)


def test_the_training_split_is_the_official_one_without_boxes(root):
    source = cub.load("train", root=root)
    assert ids_of(source) == [3, 5, 9, 12, 13, 40, 41]
    assert list(source.class_names) == ["Laysan Albatross", "Parakeet Auklet", "Brewer Blackbird"]
    np.testing.assert_array_equal(source.labels, [1, 0, 1, 0, 0, 2, 2])
    assert source.labels.dtype == np.int32
    assert source.boxes is None
    assert source.images[1] == str(root / "images" / "002.Laysan_Albatross" / "b 2.jpg")


def test_boxes_become_half_open_corners(root):
    source = cub.load("test", root=root)
    assert ids_of(source) == [6, 8, 44]
    assert all(box.shape == (1, 4) and box.dtype == np.float32 for box in source.boxes)
    np.testing.assert_array_equal(np.concatenate(source.boxes), [[0, 0, 9, 12], [30, 139, 294, 292], [5, 4, 12, 10]])


def test_masks_are_in_root_or_in_the_folder_of_the_option(root, tmp_path_factory):
    assert cub.load("test", root=root).masks is cub.load("train", root=root).masks is None
    elsewhere = tmp_path_factory.mktemp("masks")
    for folder in (root / "segmentations", elsewhere):
        for _, _, file, *_ in (row for row in ROWS if not row[3]):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).with_suffix(".png").write_bytes(b"mask")
    for option, folder in ((None, root / "segmentations"), (elsewhere, elsewhere)):
        source = cub.load("test", root=root, segmentations=option)
        assert source.masks == [str((folder / name).with_suffix(".png")) for name in source.names]
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder; expected segmentations"):
        cub.load("test", root=root, segmentations=root / "nowhere")


def test_the_list_of_boxes_is_required_only_for_the_test_split(root):
    (root / "bounding_boxes.txt").unlink()
    assert len(cub.load("train", root=root)) == 7
    with pytest.raises(FileNotFoundError, match="bounding_boxes.txt"):
        cub.load("test", root=root)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_validation_is_stratified_and_held_out_of_training(root, seed):
    options = {"root": root, "validation_per_class": 1, "validation_seed": seed}
    train, validation = cub.load("train", **options), cub.load("validation", **options)
    assert sorted(validation.labels) == [0, 1, 2]
    assert sorted(ids_of(train) + ids_of(validation)) == [3, 5, 9, 12, 13, 40, 41]
    assert train.boxes is None
    expected = {i: box for i, _, _, _, box in ROWS}
    for image, box in zip(ids_of(validation), validation.boxes):
        x, y, w, h = map(float, expected[image].split())
        np.testing.assert_array_equal(box, [[y, x, y + h, x + w]])
    assert ids_of(cub.load("test", **options)) == [6, 8, 44]


def test_validation_depends_on_the_seed_but_not_on_other_classes(root):
    chosen = {
        seed: ids_of(cub.load("validation", root=root, validation_per_class=1, validation_seed=seed))
        for seed in range(12)
    }
    assert chosen[0] == ids_of(cub.load("validation", root=root, validation_per_class=1, validation_seed=0))
    assert len({tuple(ids) for ids in chosen.values()}) > 3
    for seed, ids in chosen.items():
        alone = cub.load("validation", root=root, validation_per_class=1, validation_seed=seed, classes=[9])
        assert ids_of(alone) == [i for i in ids if i >= 40]


def test_a_part_of_the_classes_gets_labels_from_zero(root):
    source = cub.load("test", root=root, classes=(9, 2))
    assert ids_of(source) == [6, 44]
    assert list(source.class_names) == ["Laysan Albatross", "Brewer Blackbird"]
    np.testing.assert_array_equal(source.labels, [0, 1])


def test_images_of_unlisted_classes_are_left_out(root):
    edit(root / "classes.txt", "7 007.Parakeet_Auklet\n", "")
    source = cub.load("train", root=root)
    assert ids_of(source) == [5, 12, 13, 40, 41]
    np.testing.assert_array_equal(source.labels, [0, 0, 0, 1, 1])


@pytest.mark.parametrize("name", LISTINGS)
def test_a_missing_list_is_named(root, name):
    (root / name).unlink()
    with pytest.raises(FileNotFoundError, match=str(root / name)):
        cub.load("test", root=root)


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.*no such folder"):
        cub.load("train", root=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("split", "options", "error", "message"),
    [
        ("val", {}, ValueError, "train, validation, test, got 'val'"),
        ("validation", {}, ValueError, "validation split has no images. Set validation_per_class"),
        ("train", {"validation_per_class": 2}, ValueError, "below 2.*class 7, got 2"),
        ("train", {"validation_per_class": -1}, ValueError, "at least 0, got -1"),
        ("train", {"validation_per_class": 0.5}, UserError, "validation_per_class .* 0.5"),
        ("train", {"classes": [2, 3]}, ValueError, "got 3, which is not in .*classes.txt"),
        ("train", {"classes": []}, ValueError, "an empty list"),
        ("train", {"classes": "2"}, UserError, "list of class ids"),
        ("train", {"classes": ["Laysan Albatross"]}, UserError, "classes .*'Laysan Albatross'"),
    ],
)
def test_wrong_options_are_explained(root, split, options, error, message):
    with pytest.raises(error, match=message):
        cub.load(split, root=root, **options)


def test_the_whole_data_set_loads_within_a_second(tmp_path):
    (tmp_path / "images").mkdir()
    count, rows = 11788, {name: [] for name in LISTINGS}
    rows["classes.txt"] = [f"{c} {c:03d}.A_bird_with_a_long_name" for c in range(1, 201)]
    for i in range(count):
        rows["images.txt"].append(f"{i + 1} {i % 200 + 1:03d}.A_bird_with_a_long_name/A_bird_{i:05d}_{7 * i}.jpg")
        rows["image_class_labels.txt"].append(f"{i + 1} {i % 200 + 1}")
        rows["train_test_split.txt"].append(f"{i + 1} {i // 200 % 2}")
        rows["bounding_boxes.txt"].append(f"{i + 1} {i % 90}.0 {i % 70}.0 200.0 {100 + i % 9}.0")
    for name, lines in rows.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    loaded, fastest = 0, {}
    for split in ("train", "validation", "test"):
        for _ in range(3):
            start = time.perf_counter()
            source = cub.load(split, root=tmp_path, validation_per_class=5)
            fastest[split] = min(fastest.get(split, 9.0), time.perf_counter() - start)
        loaded += len(source)
    assert loaded == count
    # The usual time is a tenth of this. The minimum of three, because the machine may be busy.
    assert max(fastest.values()) < 1.0


def real_root():
    default = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "cub10"
    root = pathlib.Path(os.environ.get("ORNET_CUB10", default))
    if not root.is_dir():
        pytest.skip(f"No real birds at {root}: set ORNET_CUB10 to a folder with ten classes of CUB-200-2011.")
    return root


def test_real_birds():
    root = real_root()
    train, test = cub.load("train", root=root), cub.load("test", root=root)
    assert (len(train), len(test)) == (300, 123)
    assert train.boxes is None
    assert len(train.class_names) == 10
    assert train.class_names[0] == "Black footed Albatross"
    np.testing.assert_array_equal(np.bincount(train.labels), [30] * 10)
    held_out = cub.load("validation", root=root, validation_per_class=5)
    kept = cub.load("train", root=root, validation_per_class=5)
    np.testing.assert_array_equal(np.bincount(held_out.labels), [5] * 10)
    assert sorted([*held_out.names, *kept.names]) == sorted(train.names)
    outside = []
    for source in (held_out, test):
        for path, (box,) in zip(source.images, source.boxes):
            with Image.open(path) as image:
                width, height = image.size
                # Boxes are in the frame of the stored image: this check holds for upright images.
                assert image.getexif().get(0x0112, 1) in (0, 1)
            over = max(-box[0], -box[1], box[2] - height, box[3] - width)
            if over > 0:
                outside.append((over, path))
    assert all(over <= 1 for over, _ in outside), f"boxes outside their images: {outside}"
