"""CUB-200-2011: the forms of its lists that are read, and the messages about malformed lists."""
from __future__ import annotations

import numpy as np
import pytest

from ornet_tf.datasets import cub
from ornet_tf.errors import UserError
from tests.datasets import cub_tree
from tests.datasets.cub_tree import LISTINGS, edit, ids_of


@pytest.fixture
def root(tmp_path):
    return cub_tree.write(tmp_path)


def test_windows_line_ends_tabs_and_blank_lines_are_read(root):
    for name in LISTINGS:
        text = (root / name).read_text(encoding="utf-8")
        (root / name).write_bytes((text.replace("\n", "\r\n").replace(" ", "\t", 1) + "\r\n\r\n").encode())
    assert ids_of(cub.load("train", root=root)) == [3, 5, 9, 12, 13, 40, 41]
    np.testing.assert_array_equal(cub.load("test", root=root).boxes[0], [[0, 0, 9, 12]])


@pytest.mark.parametrize("name", LISTINGS)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_the_line_ends_of_any_system_are_read(root, name, ends):
    before = cub.load("test", root=root)
    text = (root / name).read_text(encoding="utf-8")
    (root / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", ends).encode())
    after = cub.load("test", root=root)
    assert (after.names, after.class_names) == (before.names, before.class_names)
    np.testing.assert_array_equal(after.labels, before.labels)
    np.testing.assert_array_equal(np.concatenate(after.boxes), np.concatenate(before.boxes))


@pytest.mark.parametrize("zeros", ["0 0 0 0", "0.0 0.0 0.0 0.0"])
def test_four_zeros_are_an_image_without_an_object(root, zeros, caplog):
    edit(root / "bounding_boxes.txt", "0.0 0.0 12.0 9.0", zeros)
    with caplog.at_level("WARNING", logger="absl"):
        source = cub.load("test", root=root)
    assert [box.shape for box in source.boxes] == [(0, 4), (1, 4), (1, 4)]
    assert "1 of 3 images have no object" in caplog.text


def test_files_below_images_may_be_absolute_or_have_dots(root):
    before = cub.load("test", root=root)
    edit(root / "images.txt", "002.Laysan_Albatross/c.jpg", f"{root}/images/002.Laysan_Albatross/c.jpg")
    edit(root / "images.txt", "007.Parakeet_Auklet/d.jpg", "./007.Parakeet_Auklet/x/../d.jpg")
    after = cub.load("test", root=root)
    assert (after.names, after.images) == (before.names, before.images)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("classes.txt", "7 007.Parakeet_Auklet", "7 007.", "classes.txt, line 2: .*'7 007.'"),
        ("classes.txt", "7 007", "seven 007", "classes.txt, line 2: .*'seven 007"),
        ("images.txt", "5 002.Laysan_Albatross/b 2.jpg", "5", "images.txt, line 2: .*'<image id> <file>', got '5'"),
        ("images.txt", "\n5 ", "\n3 ", "images.txt, line 2: expected each id once, got 3"),
        ("image_class_labels.txt", "6 2", "6 two", "image_class_labels.txt, line 3: .*'6 two'"),
        ("image_class_labels.txt", "6 2\n", "", "image_class_labels.txt: .*none for image 6"),
        ("train_test_split.txt", "6 0", "6 2", "train_test_split.txt, line 3: .*'6 2'"),
        ("train_test_split.txt", "6 0\n", "", "train_test_split.txt: .*none for image 6"),
        ("bounding_boxes.txt", "12.0 9.0", "12.0", "bounding_boxes.txt, line 3: .*width"),
        ("bounding_boxes.txt", "12.0 9.0", "12.0 9.0 1", "bounding_boxes.txt, line 3"),
        ("bounding_boxes.txt", "12.0 9.0", "0.0 9.0", "line 3: .*0 0 0 0 for no object; '0.0 0.0 0.0 9.0' has"),
        ("bounding_boxes.txt", "0.0 0.0 12.0 9.0", "1 2 0 0", "bounding_boxes.txt, line 3: .*'1 2 0 0' has no area"),
        ("bounding_boxes.txt", "12.0 9.0", "-12 9", "bounding_boxes.txt, line 3: .*'0.0 0.0 -12 9' has no area"),
        ("bounding_boxes.txt", "12.0 9.0", "nan 9.0", "line 3: expected finite numbers, got '0.0 0.0 nan"),
        ("bounding_boxes.txt", "12.0 9.0", "inf 9.0", "bounding_boxes.txt, line 3: expected finite numbers"),
        ("images.txt", "002.Laysan_Albatross/c.jpg", "/elsewhere/c.jpg", "txt, image 6: .* below .*'/elsewhere/c"),
        ("images.txt", "002.Laysan_Albatross/c.jpg", "../c.jpg", "txt, image 6: .* below .*images, .*'../c.jpg'"),
        ("images.txt", "002.Laysan_Albatross/c.jpg", "002.Laysan_Albatross/f.jpg", "images.txt: .* once, got '002.*f"),
        ("bounding_boxes.txt", "6 0.0 0.0 12.0 9.0\n", "", "bounding_boxes.txt: .*none for image 6"),
    ],
)
def test_a_malformed_list_is_named_with_its_line(root, name, old, new, message):
    edit(root / name, old, new)
    with pytest.raises(UserError, match=message):
        cub.load("test", root=root)
