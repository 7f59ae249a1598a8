"""FGVC-Aircraft: the lists of the levels, boxes that count from 1, the banner, the messages."""
import os

import numpy as np
import pytest
from PIL import Image

from ornet_tf.data.source import MissingSplit
from ornet_tf.datasets import fgvc_aircraft
from tests.datasets import config_source

IMAGES = {  # variant, family, box
    "train": {"1025794": ("707-320", "Boeing 707", "1 1 60 40"), "0034309": ("DC-3", "DC-3", "3 14 59 31"),
              "0000004": ("707-320", "Boeing 707", "5 5 5 5")},
    "val": {"0056978": ("707-320", "Boeing 707", "2 3 4 5"), "0000009": ("DC-3", "DC-3", "7 8 9 10")},
    "test": {"0698580": ("MD-11", "MD-11", "2 2 30 20"), "0000012": ("DC-3", "DC-3", "10 11 12 13")},
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "fgvc" / "data"
    (folder / "images").mkdir(parents=True)
    boxes = []
    for name, rows in IMAGES.items():
        for level, column in (("variant", 0), ("family", 1)):
            lines = [f"{image} {row[column]}" for image, row in rows.items()]
            (folder / f"images_{level}_{name}.txt").write_text("\n".join(lines) + "\n")
        boxes += [f"{image} {row[2]}" for image, row in rows.items()]
    (folder / "images_box.txt").write_text("\n".join(sorted(boxes)) + "\n")
    return tmp_path / "fgvc"


def names(source):
    return [name[:-4] for name in source.names]


def test_the_official_splits_have_their_images_and_classes(root):
    for folder in (root, root / "data"):
        train, validation, test = (fgvc_aircraft.load(s, root=folder) for s in ("train", "validation", "test"))
        for source, name in ((train, "train"), (validation, "val"), (test, "test")):
            assert names(source) == list(IMAGES[name])
            assert source.class_names == ["707-320", "DC-3", "MD-11"]
        np.testing.assert_array_equal(train.labels, [0, 1, 0])
        np.testing.assert_array_equal(test.labels, [2, 1])
        assert train.boxes is None
        assert train.images[1] == f"{root}/data/images/0034309.jpg"
    assert fgvc_aircraft.load("train", root=root, level="family").class_names == ["Boeing 707", "DC-3", "MD-11"]


def test_boxes_count_from_1_and_end_with_their_last_pixel(root):
    found = {}
    for split in ("validation", "test"):
        source = fgvc_aircraft.load(split, root=root)
        found.update(zip(names(source), source.boxes))
    np.testing.assert_array_equal(found["0056978"], [[2, 1, 5, 4]])
    np.testing.assert_array_equal(found["0698580"], [[1, 1, 20, 30]])
    (root / "data" / "images_variant_val.txt").write_text("1025794 707-320\n0000004 707-320\n")
    whole, pixel = fgvc_aircraft.load("validation", root=root).boxes
    np.testing.assert_array_equal(whole, [[0, 0, 40, 60]])  # the whole of 60 x 40
    np.testing.assert_array_equal(pixel, [[4, 4, 5, 5]])  # the fifth pixel of the fifth row
    assert whole.dtype == np.float32


def test_training_and_validation_images_can_be_divided_again(root):
    both = set(IMAGES["train"]) | set(IMAGES["val"])
    assert set(names(fgvc_aircraft.load("train", root=root, validation_per_class=0))) == both
    with pytest.raises(MissingSplit, match="Set validation_per_class above 0, or to None"):
        fgvc_aircraft.load("validation", root=root, validation_per_class=0)
    choices = set()
    for seed in range(9):
        options = {"root": root, "validation_per_class": 1, "validation_seed": seed}
        train, validation = fgvc_aircraft.load("train", **options), fgvc_aircraft.load("validation", **options)
        assert set(names(train)) | set(names(validation)) == both and len(train) + len(validation) == len(both)
        np.testing.assert_array_equal(np.sort(validation.labels), [0, 1])
        assert names(fgvc_aircraft.load("test", **options)) == list(IMAGES["test"])
        choices.add(tuple(names(validation)))
    assert len(choices) > 2


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_the_banner_is_removed_and_the_rest_is_kept(root, subsampling):
    rng = np.random.default_rng(3)
    for image in IMAGES["train"]:
        coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).resize((90, 77), Image.BICUBIC)
        coarse.paste((255, 255, 255), (0, 57, 90, 77))
        coarse.save(root / "data" / "images" / f"{image}.jpg", quality=88, subsampling=subsampling)
    copies = root / "copies" / "deep"
    source = fgvc_aircraft.load("train", root=root, banner_free=copies)
    assert source.images == [str(copies / f"{image}.jpg") for image in IMAGES["train"]]
    for image, path in zip(IMAGES["train"], source.images):
        with Image.open(path) as copy, Image.open(root / "data" / "images" / f"{image}.jpg") as original:
            assert (copy.size, copy.format) == ((90, 57), "JPEG")
            assert copy.quantization == original.quantization
            difference = np.abs(np.asarray(copy, int) - np.asarray(original, int)[:57])
        # Blocks of 8 rows (16 with subsampled colours) that contained a part of the banner change.
        assert difference[:48].max() <= 8 and difference[:48].mean() < 1
        assert difference.mean() < 4
    assert sorted(os.listdir(copies)) == sorted(f"{image}.jpg" for image in IMAGES["train"])
    before = {path: os.stat(path).st_mtime_ns for path in source.images}
    fgvc_aircraft.load("train", root=root, banner_free=copies)
    assert before == {path: os.stat(path).st_mtime_ns for path in source.images}


def test_unreadable_images_are_copied_unchanged(root):
    (root / "data" / "images" / "1025794.jpg").write_bytes(b"no image")
    Image.new("RGB", (30, 12)).save(root / "data" / "images" / "0034309.jpg")  # lower than the banner
    source = fgvc_aircraft.load("train", root=root, banner_free=root / "copies")
    with open(source.images[0], "rb") as file:
        assert file.read() == b"no image"
    with Image.open(source.images[1]) as image:
        assert image.size == (30, 12)
    assert not os.path.exists(source.images[2])  # its original does not exist


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("images_variant_test.txt", "0698580 MD-11", "0698580", "test.txt, line 1: expected '<image> <class>'"),
        ("images_variant_test.txt", "0000012", "0698580", "test.txt, line 2: .*each once, got '0698580 DC-3'"),
        ("images_box.txt", "0698580 2 2 30 20", "0698580 2 2 30", "images_box.txt, line 6: expected .*<ymax>"),
        ("images_box.txt", "0698580", "0000012", "box.txt, line 6: expected each image once, got '0000012'"),
        ("images_box.txt", "0698580", "0698581", "images_box.txt: .*none for 0698580"),
    ],
)
def test_a_malformed_list_is_named_with_its_line(root, name, old, new, message):
    path = root / "data" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        fgvc_aircraft.load("test", root=root)


def test_a_byte_order_mark_and_windows_line_ends_are_read(root):
    before = fgvc_aircraft.load("test", root=root)
    for path in (root / "data").glob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    after = fgvc_aircraft.load("test", root=root)
    assert (after.names, after.class_names) == (before.names, before.class_names)
    np.testing.assert_array_equal(np.concatenate(after.boxes), np.concatenate(before.boxes))


def test_wrong_options_and_folders_are_explained(root, tmp_path):
    with pytest.raises(ValueError, match="level to be one of variant, family, manufacturer, got 'type'"):
        fgvc_aircraft.load("train", root=root, level="type")
    with pytest.raises(FileNotFoundError, match="images_manufacturer_train.txt: no such file"):
        fgvc_aircraft.load("train", root=root, level="manufacturer")
    with pytest.raises(FileNotFoundError, match="images: no such folder; expected root to hold data/images"):
        fgvc_aircraft.load("train", root=tmp_path)


def test_the_configuration_trains_on_both_official_splits_without_the_banner(root, tmp_path):
    for image in (name for rows in IMAGES.values() for name in rows):
        Image.new("RGB", (60, 60)).save(root / "data" / "images" / f"{image}.jpg")
    options = {"root": root, "banner_free": tmp_path / "cut"}
    assert len(config_source.load("fgvc_aircraft", "train", **options)) == 5
    test = config_source.load("fgvc_aircraft", "test", **options)
    with Image.open(test.images[0]) as image:
        assert image.size == (60, 40)
    np.testing.assert_array_equal(test.boxes[0], [[1, 1, 20, 30]])
