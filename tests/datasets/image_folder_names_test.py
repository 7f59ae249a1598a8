"""Names of files and classes in a user's own folder and in the table of boxes: spaces and absolute paths."""
from __future__ import annotations

import numpy as np
import pytest

from ornet_tf.datasets import image_folder
from ornet_tf.errors import UserError

HEADER = "file,xmin,ymin,xmax,ymax\n"


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


@pytest.mark.parametrize("place", ["", "test"])
def test_absolute_paths_below_the_folder_of_the_table_are_read(tmp_path, place):
    make(tmp_path, "train/cat/1.jpg", "test/cat/2.jpg", "test/c\u00e4t/3.jpg")
    rows = [f"{tmp_path}/test/cat/2.jpg,1,2,3,4", f"{tmp_path}/test/./cat/../ca\u0308t/3.jpg,5,6,7,8"]
    (tmp_path / place / "boxes.csv").write_text(HEADER + "\n".join(rows), encoding="utf-8")
    boxes = image_folder.load("test", root=tmp_path).boxes
    np.testing.assert_array_equal(np.concatenate(boxes), [[2, 1, 4, 3], [6, 5, 8, 7]])


@pytest.mark.parametrize("place", ["", "test"])
def test_absolute_paths_through_other_links_are_read(tmp_path, place):
    root, store = tmp_path / "root", make(tmp_path / "store", "3.jpg")
    make(root, "train/cat/1.jpg", "test/cat/2.jpg")
    (root / "test" / "dog").symlink_to(store, target_is_directory=True)
    (tmp_path / "alias").symlink_to(root, target_is_directory=True)
    (tmp_path / "cats").symlink_to(root / "test" / "cat", target_is_directory=True)
    rows = [f"{tmp_path}/alias/test/cat/2.jpg,1,2,3,4", f"{tmp_path}/alias/test/dog/3.jpg,5,6,7,8"]
    (root / place / "boxes.csv").write_text(HEADER + "\n".join([*rows, f"{tmp_path}/cats/2.jpg,2,3,4,5"]))
    boxes = image_folder.load("test", root=root).boxes
    np.testing.assert_array_equal(np.concatenate(boxes), [[2, 1, 4, 3], [3, 2, 5, 4], [6, 5, 8, 7]])
    (root / place / "boxes.csv").write_text(f"{HEADER}{tmp_path}/alias/\0/2.jpg,1,2,3,4")
    # A null character is an error of Python's CSV reader before version 3.11.
    with pytest.raises(UserError, match="line 2: expected an image below|expected a CSV table"):
        image_folder.load("test", root=root)


@pytest.mark.parametrize("file", ["/elsewhere/test/cat/2.jpg", "C:\\\\images\\\\cat\\\\2.jpg", "{}/train/cat/9.jpg"])
def test_absolute_paths_elsewhere_are_explained(tmp_path, file):
    make(tmp_path, "train/cat/1.jpg", "test/cat/2.jpg")
    (tmp_path / "boxes.csv").write_text(HEADER + f"{file.format(tmp_path)},1,2,3,4\n")
    with pytest.raises(UserError, match=f"csv, line 2: expected an image below {tmp_path}"):
        image_folder.load("test", root=tmp_path)


@pytest.mark.parametrize("name", [" cat", "cat ", " cat "])
def test_spaces_around_the_name_of_a_class_are_part_of_it(tmp_path, name):
    make(tmp_path, f"train/{name}/1.jpg", f"test/{name}/2.jpg", f"test/{name}/ 3.jpg")
    (tmp_path / "test" / "boxes.csv").write_text(f"{HEADER}{name}/2.jpg,1,2,3,4\n{name}/ 3.jpg,5,6,7,8\n")
    source = image_folder.load("test", root=tmp_path)
    assert (source.class_names, source.names) == ([name], [f"test/{name}/ 3.jpg", f"test/{name}/2.jpg"])
    np.testing.assert_array_equal(np.concatenate(source.boxes), [[6, 5, 8, 7], [2, 1, 4, 3]])


def test_class_names_that_differ_only_in_spaces_are_refused(tmp_path):
    make(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/cat /2.jpg")
    with pytest.raises(UserError, match="'cat' and 'cat '"):
        image_folder.load("train", root=tmp_path)


@pytest.mark.parametrize("kind", ["folder", "link"])
@pytest.mark.parametrize("name", ["boxes.csv", "marks.csv"])
@pytest.mark.parametrize("place", ["", "test"])
def test_a_folder_or_broken_link_with_the_name_of_the_table_is_refused(tmp_path, place, name, kind):
    make(tmp_path / place, "cat/1.jpg")
    path = tmp_path / place / name
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere.csv")
    got = {"folder": "a folder", "link": "a broken link"}[kind]
    with pytest.raises(UserError, match=f"{name}: expected a table of boxes, got {got}.*set boxes_csv"):
        image_folder.load("test", root=tmp_path, boxes_csv=name, test_fraction=0 if place else 0.999)
