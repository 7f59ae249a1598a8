"""Stanford Dogs: the MATLAB lists, annotation files without suffix, the validation split, the messages."""
import numpy as np
import pytest
import scipy.io

from ornet_tf.data.source import MissingSplit
from ornet_tf.datasets import stanford_dogs
from tests.datasets import config_source

BREEDS = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel")
TRAIN = [f"{BREEDS[i % 2]}/{BREEDS[i % 2][:9]}_{i}.jpg" for i in (5, 2, 8, 1, 3, 4)]
TEST = [f"{BREEDS[1]}/n02085782_17.jpg", f"{BREEDS[0]}/n02085620_7.jpg"]
BOXES = {TEST[0]: [(0, 0, 199, 149)], TEST[1]: [(71, 1, 192, 180), (3, 4, 3, 4)]}


def write_list(path, names):
    column = np.empty([len(names), 1], dtype=object)
    column[:, 0] = names
    labels = np.array([[1.0 + BREEDS.index(name.split("/")[0])] for name in names])
    scipy.io.savemat(path, {"file_list": column, "annotation_list": column, "labels": labels}, do_compression=True)


@pytest.fixture
def root(tmp_path):
    for name in [*TRAIN, *TEST]:
        for folder, file in (("Images", name), ("Annotation", name[:-4])):
            (tmp_path / folder / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / file).write_bytes(b"")
        objects = "".join(
            f"<object><name>dog</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
            "</object>\n" for a, b, c, d in BOXES.get(name, [(1, 2, 3, 4)])
        )
        (tmp_path / "Annotation" / name[:-4]).write_text(f"<annotation>\n{objects}</annotation>\n")
    write_list(tmp_path / "train_list.mat", TRAIN)
    write_list(tmp_path / "test_list.mat", TEST)
    return tmp_path


def test_the_official_splits_have_the_order_of_their_lists(root):
    train, test = stanford_dogs.load("train", root=root), stanford_dogs.load("test", root=root)
    assert (train.names, test.names, train.boxes) == (TRAIN, TEST, None)
    assert train.class_names == test.class_names == ["Chihuahua", "Japanese spaniel"]
    np.testing.assert_array_equal(train.labels, [i % 2 for i in (5, 2, 8, 1, 3, 4)])
    np.testing.assert_array_equal(test.labels, [1, 0])
    assert test.images[1] == f"{root}/Images/{TEST[1]}"


def test_boxes_are_half_open(root):
    first, second = stanford_dogs.load("test", root=root).boxes
    np.testing.assert_array_equal(first, [[0, 0, 150, 200]])  # the whole of 200 x 150
    np.testing.assert_array_equal(second, [[1, 71, 181, 193], [4, 3, 5, 4]])  # the second is one pixel


def test_validation_is_held_out_of_train(root):
    options = {"root": root, "validation_per_class": 1}
    train, validation = stanford_dogs.load("train", **options), stanford_dogs.load("validation", **options)
    assert sorted([*train.names, *validation.names]) == sorted(TRAIN)
    np.testing.assert_array_equal(np.sort(validation.labels), [0, 1])
    for boxes in validation.boxes:
        np.testing.assert_array_equal(boxes, [[2, 1, 5, 4]])
    assert stanford_dogs.load("test", **options).names == TEST
    with pytest.raises(MissingSplit, match="Set validation_per_class"):
        stanford_dogs.load("validation", root=root)


def test_other_places_and_forms_of_lists_and_folders_in_lower_case_are_read(root):
    (root / "lists").mkdir()
    (root / "train_list.mat").rename(root / "lists" / "train_list.mat")
    (root / "test_list.mat").unlink()
    (root / "test_list.txt").write_text("\r\n".join(TEST))
    (root / "Images").rename(root / "images")
    (root / "Annotation").rename(root / "annotation")
    source = stanford_dogs.load("test", root=root)
    assert (source.names, source.images[0]) == (TEST, f"{root}/images/{TEST[0]}")
    np.testing.assert_array_equal(source.boxes[0], [[0, 0, 150, 200]])
    assert stanford_dogs.load("train", root=root).names == TRAIN


def test_an_image_without_annotation_has_no_box_and_is_logged(root, caplog):
    (root / "Annotation" / TEST[0][:-4]).unlink()
    with caplog.at_level("WARNING", logger="absl"):
        assert [len(boxes) for boxes in stanford_dogs.load("test", root=root).boxes] == [0, 2]
    assert "1 of 2 images have no annotation" in caplog.text


@pytest.mark.parametrize(
    ("break_it", "error", "message"),
    [
        (lambda r: (r / "test_list.mat").unlink(), FileNotFoundError, "test_list.mat: no such file, nor in .*lists"),
        (lambda r: (r / "test_list.mat").write_bytes(b"PK"), ValueError, "test_list.mat: expected a MATLAB file"),
        (lambda r: write_list(r / "test_list.mat", ["n02085620-Chihuahua/"]), ValueError, "got 'n02085620-Chihuahua/'"),
        (lambda r: scipy.io.savemat(r / "test_list.mat", {"a": 1}), ValueError, "test_list.mat: .*variable file_list"),
        (lambda r: (r / "Annotation").rename(r / "other"), FileNotFoundError, "Annotation: no such folder"),
        (lambda r: (r / "Images").rename(r / "other"), FileNotFoundError, "Images: no such folder"),
        (lambda r: (r / "Annotation" / TEST[0][:-4]).write_text("no XML"), ValueError, "_17: expected an XML file"),
    ],
)
def test_wrong_files_are_explained_in_one_line(root, break_it, error, message):
    break_it(root)
    with pytest.raises(error, match=message) as caught:
        stanford_dogs.load("test", root=root)
    assert "\n" not in str(caught.value)


def test_the_configuration_loads_the_data_set(root):
    assert config_source.load("stanford_dogs", "train", root=root).names == TRAIN
    np.testing.assert_array_equal(config_source.load("stanford_dogs", "test", root=root).boxes[0], [[0, 0, 150, 200]])


@pytest.mark.parametrize(
    ("lines", "message"),
    [([*TEST, TEST[0]], f"expected each image once, got '{TEST[0]}' again"), (["../dog.jpg"], "got '../dog.jpg'")],
)
def test_repeated_images_and_images_elsewhere_in_a_list_are_refused(root, lines, message):
    (root / "test_list.mat").unlink()
    (root / "test_list.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(TEST).encode())
    assert stanford_dogs.load("test", root=root).names == TEST
    (root / "test_list.txt").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        stanford_dogs.load("test", root=root)
