"""Boxes in the frame of the stored image are converted to that of the upright image, in every data set."""
from __future__ import annotations

import struct

import numpy as np
import pytest

from ornet_tf.data import decoding
from ornet_tf.datasets import _unpacked, cub, fgvc_aircraft, imagenet, stanford_dogs, wsol_metadata
from tests import broken_files
from tests.data import fierce_jpegs

HEIGHT, WIDTH = 48, 80
BOX = (8, 16, 32, 40)  # ymin, xmin, ymax, xmax of the bright object in the stored image, in whole blocks of a JPEG
YMIN, XMIN, YMAX, XMAX = BOX
ORIENTATIONS = range(1, 9)


@pytest.fixture(scope="module", name="files")
def _files():
    """A JPEG for each orientation, one with an orientation in XMP only, and one with two different EXIF segments."""
    pixels = np.full([HEIGHT, WIDTH, 3], 20, np.uint8)
    pixels[YMIN:YMAX, XMIN:XMAX] = 230
    jpeg = broken_files.encode(broken_files.Image.fromarray(pixels), "JPEG", quality=95)
    heads = [[fierce_jpegs.exif(fierce_jpegs.entry(value))] for value in ORIENTATIONS]
    heads += [[fierce_jpegs.segment(fierce_jpegs.XMP)], [*heads[5], *heads[2]]]
    return [fierce_jpegs.with_segments(jpeg, *head) for head in heads]


def box_of_object(file):
    """The box of the bright object in the decoded image."""
    decoded = decoding.decode(file).numpy()[..., 0] > 128
    rows, columns = (np.flatnonzero(decoded.any(axis)) for axis in (1, 0))
    return [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]


def check_boxes(source, files):
    assert len(source) == len(files)
    found = []
    for path, boxes in zip(source.images, source.boxes):
        with open(path, "rb") as stored:
            content = stored.read()
        assert boxes.dtype == np.float32
        np.testing.assert_allclose(boxes, [box_of_object(content)], atol=1e-3)
        found.append(content)
    assert sorted(found) == sorted(files)


def write(folder, files):
    folder.mkdir(parents=True)
    for index, file in enumerate(files):
        (folder / f"{index}.jpg").write_bytes(file)


def xml(size):
    sides = "" if size is None else f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
    box = f"<xmin>{XMIN}</xmin><ymin>{YMIN}</ymin><xmax>{XMAX - 1}</xmax><ymax>{YMAX - 1}</ymax>"
    return f"<annotation>{sides}<object><name>n01</name><bndbox>{box}</bndbox></object></annotation>"


def test_cub(tmp_path, files):
    write(tmp_path / "images" / "1.a", files)
    rows = range(len(files))
    lists = {
        "classes": ["1 1.a"], "images": [f"{i} 1.a/{i}.jpg" for i in rows],
        "image_class_labels": [f"{i} 1" for i in rows], "train_test_split": [f"{i} 0" for i in rows],
        "bounding_boxes": [f"{i} {XMIN} {YMIN} {XMAX - XMIN} {YMAX - YMIN}" for i in rows],
    }  # fmt: skip
    for name, lines in lists.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    check_boxes(cub.load("test", root=tmp_path), files)


@pytest.mark.parametrize("banner_free", [None, "copies"])
def test_fgvc_aircraft(tmp_path, files, banner_free):
    write(tmp_path / "images", files)
    for name in ("train", "val", "test"):
        rows = [f"{i} a" for i in range(len(files)) if name == "test"]
        (tmp_path / f"images_variant_{name}.txt").write_text("\n".join(rows))
    boxes = [f"{i} {XMIN + 1} {YMIN + 1} {XMAX} {min(YMAX, HEIGHT - 20)}" for i in range(len(files))]
    (tmp_path / "images_box.txt").write_text("\n".join(boxes))
    source = fgvc_aircraft.load("test", root=tmp_path, banner_free=banner_free and tmp_path / banner_free)
    if banner_free:  # copies are not turned and have no EXIF data
        for path, found in zip(source.images, source.boxes):
            with open(path, "rb") as copy:
                assert decoding.decode(copy.read()).shape[:2] == (HEIGHT - 20, WIDTH)
            np.testing.assert_array_equal(found, [[YMIN, XMIN, HEIGHT - 20, XMAX]])
        return
    for file, found in zip(files, source.boxes):
        ymin, xmin, ymax, xmax = box_of_object(file)
        assert ymin <= found[0, 0] and xmin <= found[0, 1] and found[0, 2] <= ymax and found[0, 3] <= xmax
        assert (found[0, 2:] - found[0, :2]).prod() == (HEIGHT - 20 - YMIN) * (XMAX - XMIN)


@pytest.mark.parametrize("last_pixel", [True, False])
def test_wsol_metadata(tmp_path, files, last_pixel):
    write(tmp_path / "images", files)
    (tmp_path / "test").mkdir()
    end = int(last_pixel)
    lists = {"image_ids": "{}.jpg", "class_labels": "{}.jpg,0"}
    lists["localization"] = f"{{}}.jpg,{XMIN},{YMIN},{XMAX - end},{YMAX - end}"
    for name, line in lists.items():
        (tmp_path / "test" / f"{name}.txt").write_text("\n".join(line.format(i) for i in range(len(files))))
    options = {"metadata": tmp_path, "root": tmp_path / "images", "last_pixel": last_pixel}
    check_boxes(wsol_metadata.load("test", **options), files)


def dogs(root, files, sizes):
    write(root / "Images" / "n01-Dog", files)
    (root / "Annotation" / "n01-Dog").mkdir(parents=True)
    for index, size in enumerate(sizes):
        (root / "Annotation" / "n01-Dog" / str(index)).write_text(xml(size))
    (root / "train_list.txt").write_text("")
    (root / "test_list.txt").write_text("\n".join(f"n01-Dog/{index}.jpg" for index in range(len(files))))
    return stanford_dogs.load("test", root=root)


def test_stanford_dogs(tmp_path, files):
    check_boxes(dogs(tmp_path, files, [(HEIGHT, WIDTH)] * len(files)), files)


@pytest.mark.parametrize("kind", ["xml", "csv"])
def test_imagenet(tmp_path, files, kind):
    write(tmp_path / "data" / "val" / "n01", files)
    (tmp_path / "data" / "train" / "n01").mkdir(parents=True)
    (tmp_path / "xml" / "val").mkdir(parents=True)
    rows = ["ImageId,PredictionString"]
    for index in range(len(files)):
        (tmp_path / "xml" / "val" / f"{index}.xml").write_text(xml((HEIGHT, WIDTH)))
        rows.append(f"{index},n01 {XMIN} {YMIN} {XMAX - 1} {YMAX - 1} ")
    (tmp_path / "solution.csv").write_text("\n".join(rows))
    options = {"boxes": tmp_path / "xml"} if kind == "xml" else {"val_labels": tmp_path / "solution.csv"}
    check_boxes(imagenet.load("test", root=tmp_path / "data", **options), files)


def test_boxes_of_the_upright_image_are_not_converted(tmp_path, files, caplog):
    with caplog.at_level("INFO", logger="absl"):
        source = dogs(tmp_path, files, [(WIDTH, HEIGHT)] * len(files))
    assert all((boxes == [BOX]).all() for boxes in source.boxes)
    assert "EXIF turns 8 images with boxes: 0 had boxes of the stored image" in caplog.text
    assert "5 had boxes of the upright image" in caplog.text
    assert "EXIF turns 3 images whose annotation has no size or another" in caplog.text


def test_boxes_without_a_size_or_with_another_are_not_converted_but_logged(tmp_path, files, caplog):
    sizes = [None, (480, 800), (0, 0)] * 4
    with caplog.at_level("WARNING", logger="absl"):
        source = dogs(tmp_path, files, sizes[: len(files)])
    assert all((boxes == [BOX]).all() for boxes in source.boxes)
    assert "EXIF turns 8 images whose annotation has no size" in caplog.text


def test_boxes_of_images_too_large_for_pillow_are_converted(tmp_path, files, caplog):
    large = [files[5].replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", 20000, 30000), 1)]
    with caplog.at_level("WARNING", logger="absl"):
        source = dogs(tmp_path, large, [(20000, 30000)])
    np.testing.assert_array_equal(source.boxes[0], [[XMIN, 20000 - YMAX, XMAX, 20000 - YMIN]])
    assert "has no size" not in caplog.text


def test_boxes_of_unreadable_files_are_not_converted(tmp_path, files, caplog):
    broken = [files[5][:60], b"", b"no image", files[7]]
    with caplog.at_level("WARNING", logger="absl"):
        source = dogs(tmp_path, broken, [(HEIGHT, WIDTH)] * 4)
    assert "EXIF turns 1 images with boxes whose size can't be read" in caplog.text
    assert "has no size" not in caplog.text
    (tmp_path / "Images" / "n01-Dog" / "1.jpg").unlink()
    for boxes in source.boxes[:3]:
        np.testing.assert_array_equal(boxes, [BOX])
    np.testing.assert_array_equal(source.boxes[3], [box_of_object(files[7])])


def test_unpacked_examples(tmp_path, files):
    fractions = np.array([BOX], np.float64) / ([HEIGHT, WIDTH] * 2)
    examples = [(file, 0, fractions) for file in files]
    _unpacked.write(examples, tmp_path / "split", class_names=["a"], what="test")
    check_boxes(_unpacked.read(tmp_path / "split", with_boxes=True), files)
