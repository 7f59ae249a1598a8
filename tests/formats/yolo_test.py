import os

import numpy as np
import yaml

from ornet_tf.formats import yolo
from tests.formats import birds


def write(tmp_path, images=None):
    birds.write_files(tmp_path / "birds")
    yolo.write(iter(images or birds.images(tmp_path / "birds")), birds.CLASS_NAMES, str(tmp_path / "yolo"))
    return tmp_path / "yolo"


def test_the_files_are_the_golden_ones(tmp_path):
    folder = write(tmp_path)
    assert (folder / "data.yaml").read_text() == (
        'train: train.txt\nnames:\n  0: "sparrow & co"\n  1: "wren"\n  2: "eagle"\n'
    )
    assert (folder / "train.txt").read_text().splitlines() == [
        "./images/train/wren/a.jpg", "./images/train/sparrow/b.jpg", "./images/train/wren/a_2.png",
        "./images/train/wren/none.jpg",
    ]  # fmt: skip
    labels = folder / "labels" / "train"
    assert (labels / "wren" / "a.txt").read_text() == (
        "1 0.475000 0.300000 0.550000 0.400000\n1 0.750000 0.750000 0.500000 0.500000\n"
    )
    assert (labels / "sparrow" / "b.txt").read_text() == "0 0.450000 0.300000 0.500000 0.400000\n"
    assert (labels / "wren" / "none.txt").read_text() == ""


def test_cvat_finds_one_list_of_images_and_ultralytics_its_validation_images(tmp_path):
    folder = write(tmp_path)
    data = yaml.safe_load((folder / "data.yaml").read_text())
    assert data == {"train": "train.txt", "names": dict(enumerate(birds.CLASS_NAMES))}
    assert yaml.safe_load((folder / "ultralytics.yaml").read_text()) == {**data, "val": "train.txt"}


def test_each_image_is_a_link_beside_a_label_file_of_its_name(tmp_path):
    folder = write(tmp_path)
    for line, image in zip((folder / "train.txt").read_text().splitlines(), birds.images(tmp_path / "birds")):
        link = folder / line
        assert link.is_symlink() and link.read_bytes() == (tmp_path / "birds" / image.name).read_bytes()
        label = folder / line.replace("./images/", "labels/")
        assert len(label.with_suffix(".txt").read_text().splitlines()) == len(image.boxes)


def test_an_inner_folder_images_is_renamed_as_ultralytics_replaces_the_last_one(tmp_path):
    image = birds.images()[0]
    odd = type(image)("x.jpg", "images/images/images.jpg", 1, 400, 300, image.boxes)
    folder = write(tmp_path, [odd])
    assert (folder / "train.txt").read_text() == "./images/train/images_/images_/images.jpg\n"
    assert (folder / "labels" / "train" / "images_" / "images_" / "images.txt").read_text().count("\n") == 2


def test_a_link_leads_to_an_image_whose_name_is_not_utf8(tmp_path):
    image = birds.images()[0]
    for name in (b"\xff\xe9.jpg", rb"\xfe.jpg", b"\xfe.jpg"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(name)
    escaped = [rf"\{name}.jpg" for name in (r"xff\xe9", "xfe", "xfd")]
    folder = write(tmp_path, [type(image)(f"{tmp_path}/{name}", name, 1, 400, 300) for name in escaped])
    links = [folder / "images" / "train" / name for name in escaped]
    assert links[0].read_bytes() == b"\xff\xe9.jpg"
    assert links[1].read_bytes() == rb"\xfe.jpg"  # a file of just this name comes first
    assert os.readlink(links[2]) == f"{tmp_path}/{escaped[2]}"


def test_names_of_classes_are_quoted(tmp_path):
    names = ["no", "1", "a: b # c", "\"quote\" 'x'", "é"]
    yolo.write([], names, str(tmp_path))
    assert yaml.safe_load((tmp_path / "data.yaml").read_text(encoding="utf-8"))["names"] == dict(enumerate(names))


def test_supervision_reads_the_images_of_a_folder(tmp_path):
    import supervision

    folder = write(tmp_path)
    dataset = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(folder / "images" / "train" / "wren"),
        annotations_directory_path=str(folder / "labels" / "train" / "wren"),
        data_yaml_path=str(folder / "data.yaml"),
    )
    assert dataset.classes == birds.CLASS_NAMES
    found = {name.rpartition("/")[2]: detections for name, _, detections in dataset}
    assert sorted(found) == ["a.jpg", "a_2.png", "none.jpg"]
    image = birds.images()[0]
    np.testing.assert_allclose(found["a.jpg"].xyxy, [image.pixels(box) for box in image.boxes], atol=0.01)
    assert found["a.jpg"].class_id.tolist() == [1, 1] and len(found["none.jpg"]) == 0
