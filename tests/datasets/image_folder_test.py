"""A user's own images: both layouts, the division by hash, the table of boxes, and the messages."""
from __future__ import annotations

import os
import unicodedata

import numpy as np
import pytest

from ornet_tf.datasets import image_folder

SPLITS = ("train", "validation", "test")
HEADER = "file,xmin,ymin,xmax,ymax\n"


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not opened in these tests")
    return root


def write(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return path


@pytest.fixture
def log(caplog):
    caplog.set_level("INFO", logger="absl")
    return caplog


def test_classes_are_sorted_and_images_found_at_any_depth(tmp_path, log):
    make(tmp_path, "dog/1.JPG", "dog/deep/er/2.jpeg", "cat/b.Png", "cat/a.jpg", "Ant/x.jpg")
    make(tmp_path, "cat/notes.txt", "cat/c.gif", "stray.jpg", "boxes.csv")
    make(tmp_path, ".hidden/1.jpg", "dog/.3.jpg", "cat/.git/4.jpg")
    (tmp_path / "empty" / "emptier").mkdir(parents=True)
    source = image_folder.load("train", root=tmp_path)
    assert source.names == ["Ant/x.jpg", "cat/a.jpg", "cat/b.Png", "dog/1.JPG", "dog/deep/er/2.jpeg"]
    assert source.class_names == ["Ant", "cat", "dog"]
    np.testing.assert_array_equal(source.labels, [0, 1, 1, 2, 2])
    assert source.labels.dtype == np.int32
    assert source.boxes is None
    assert source.images == [str(tmp_path / name) for name in source.names]
    assert "ignored 3 files" in log.text  # notes.txt, c.gif, stray.jpg


def test_split_folders_share_their_classes(tmp_path, log):
    make(tmp_path, "train/cat/1.jpg", "train/owl/1.jpg", "validation/cat/2.jpg", "test/bee/3.jpg", "test/owl/3.jpg")
    train, validation, test = (image_folder.load(split, root=tmp_path) for split in SPLITS)
    assert train.class_names == validation.class_names == test.class_names == ["bee", "cat", "owl"]
    assert (train.names, validation.names) == (["train/cat/1.jpg", "train/owl/1.jpg"], ["validation/cat/2.jpg"])
    np.testing.assert_array_equal(train.labels, [1, 2])
    np.testing.assert_array_equal(test.labels, [0, 2])
    assert "the train split has no image of bee" in log.text


def test_fractions_divide_every_class_and_use_all_images(tmp_path):
    make(tmp_path, *(f"{kind}/{i:04d}.jpg" for kind in ("cat", "dog") for i in range(600)))
    options = {"root": tmp_path, "validation_fraction": 0.2, "test_fraction": 0.3}
    parts = {split: image_folder.load(split, **options) for split in SPLITS}
    names = [name for part in parts.values() for name in part.names]
    assert len(names) == len(set(names)) == 1200
    for split, share in {"train": 0.5, "validation": 0.2, "test": 0.3}.items():
        counts = np.bincount(parts[split].labels)
        # Five standard deviations of a binomial count.
        assert np.all(np.abs(counts - 600 * share) < 5 * np.sqrt(600 * share * (1 - share))), (split, counts)
    other = image_folder.load("test", split_seed=1, **options)
    overlap = len(set(other.names) & set(parts["test"].names)) / len(other)
    assert 0.15 < overlap < 0.45  # an independent draw shares 0.3


def test_the_division_does_not_depend_on_the_place_of_the_folder(tmp_path):
    names = [f"cat/{i}.jpg" for i in range(50)]
    parts = [
        image_folder.load("test", root=make(tmp_path / place, *names), test_fraction=0.5).names
        for place in ("here", "there")
    ]
    assert parts[0] == parts[1]


def test_adding_and_removing_images_moves_no_other_image(tmp_path):
    make(tmp_path, *(f"cat/{i}.jpg" for i in range(100)))
    options = {"root": tmp_path, "validation_fraction": 0.3, "test_fraction": 0.3}
    before = {name: split for split in SPLITS for name in image_folder.load(split, **options).names}
    make(tmp_path, *(f"{kind}/new{i}.jpg" for kind in ("ape", "cat") for i in range(100)))
    (tmp_path / "cat" / "7.jpg").unlink()
    after = {name: split for split in SPLITS for name in image_folder.load(split, **options).names}
    assert len(after) == 299
    assert all(after[name] == split for name, split in before.items() if name != "cat/7.jpg")


def test_a_split_without_a_folder_is_a_fraction_of_train(tmp_path):
    make(tmp_path, *(f"train/cat/{i}.jpg" for i in range(60)), "test/cat/1.jpg")
    write(tmp_path / "train" / "boxes.csv", HEADER + "".join(f"cat/{i}.jpg,1,2,{i + 3},9\n" for i in range(60)))
    train = image_folder.load("train", root=tmp_path, validation_fraction=0.5)
    validation = image_folder.load("validation", root=tmp_path, validation_fraction=0.5)
    assert len(train) + len(validation) == 60
    assert 10 < len(validation) < 50
    assert train.boxes is None
    for name, box in zip(validation.names, validation.boxes):
        np.testing.assert_array_equal(box, [[2, 1, 9, int(name.split("/")[-1][:-4]) + 3]])
    assert image_folder.load("test", root=tmp_path, validation_fraction=0.5).names == ["test/cat/1.jpg"]


def test_links_are_followed_and_do_not_loop(tmp_path):
    elsewhere = make(tmp_path / "elsewhere", "1.jpg", "sub/2.jpg")
    root = make(tmp_path / "root", "dog/1.jpg")
    (root / "cat").symlink_to(elsewhere, target_is_directory=True)
    (root / "dog" / "2.jpg").symlink_to(elsewhere / "1.jpg")
    (root / "dog" / "broken.jpg").symlink_to(elsewhere / "nothing.jpg")
    (root / "dog" / "again").symlink_to(root / "dog", target_is_directory=True)
    assert image_folder.load("train", root=root).names == ["cat/1.jpg", "cat/sub/2.jpg", "dog/1.jpg", "dog/2.jpg"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unicode_names_are_the_same_on_every_file_system(tmp_path, form):
    # Decomposed, 'Épée' would sort before 'Zorn'; composed, after it.
    make(tmp_path, unicodedata.normalize(form, "Épée/naïve 鳥.jpg"), "Zorn/1.jpg")
    write(tmp_path / "boxes.csv", HEADER + "Épée/naïve 鳥.jpg,1,2,3,4\nZorn/1.jpg,5,6,7,8\n")
    # The hash with seed 1 puts both images into the test split for either form.
    source = image_folder.load("test", root=tmp_path, test_fraction=0.99, split_seed=1)
    assert source.class_names == ["Zorn", "Épée"]
    assert source.names == ["Zorn/1.jpg", "Épée/naïve 鳥.jpg"]
    assert all(os.path.isfile(path) for path in source.images)
    np.testing.assert_array_equal(np.concatenate(source.boxes), [[6, 5, 8, 7], [2, 1, 4, 3]])


def make_splits(root):
    return make(root, "test/cat/1.jpg", "test/cat/2.jpg", "test/dog/x/3.png", "train/cat/4.jpg")


def test_boxes_of_a_table_in_root(tmp_path):
    make_splits(tmp_path)
    rows = "test/cat/1.jpg,10,20,110,220\ntest/dog/x/3.png,0,0,2.5,3\n\n./test/cat/1.jpg,1,2,3,4\n"
    write(tmp_path / "boxes.csv", HEADER + rows + "train/cat/4.jpg,0,0,9,9\n")
    source = image_folder.load("test", root=tmp_path)
    assert source.names == ["test/cat/1.jpg", "test/cat/2.jpg", "test/dog/x/3.png"]
    expected = [[[20, 10, 220, 110], [2, 1, 4, 3]], np.zeros((0, 4)), [[0, 0, 3, 2.5]]]
    for boxes, rows in zip(source.boxes, expected):
        assert boxes.dtype == np.float32
        np.testing.assert_array_equal(boxes, np.reshape(rows, (-1, 4)))
    assert image_folder.load("train", root=tmp_path).boxes is None
    assert image_folder.load("test", root=tmp_path, boxes_csv=None).boxes is None


def test_boxes_of_a_table_in_a_split_folder_with_columns_in_any_order(tmp_path):
    make_splits(tmp_path)
    make(tmp_path, "validation/cat/5.jpg")
    text = 'file, YMAX ,xmax,"Score",ymin,xmin\r\n"cat/1.jpg",4,3,0.5,2,1\r\n dog/x/3.png ,8,7,,6,5\r\n'
    write(tmp_path / "test" / "marks.csv", text, encoding="utf-8-sig")
    source = image_folder.load("test", root=tmp_path, boxes_csv="marks.csv")
    np.testing.assert_array_equal(np.concatenate(source.boxes), [[2, 1, 4, 3], [6, 5, 8, 7]])
    # Without a table for them, the boxes of the validation images are unknown: this is not the same as no object.
    assert image_folder.load("validation", root=tmp_path, boxes_csv="marks.csv").boxes is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected the columns file,xmin,ymin,xmax,ymax, got nothing"),
        ("file,xmin,ymin,xmax\na,1,2,3\n", "line 1: expected the columns .*, got file,xmin,ymin,xmax"),
        ("cat/1.jpg,1,2,3,4\n", "line 1: expected the columns"),
        ("file;xmin;ymin;xmax;ymax\n", "line 1: .*got file;xmin"),
        (HEADER + "cat/1.jpg,1,2,3,4\ncat/9.jpg,1,2,3,4\n", "line 3: .*got 'cat/9.jpg'"),
        (HEADER + "../test/cat/9.jpg,1,2,3,4\n", "line 2: .*got '../test/cat/9.jpg'"),
        (HEADER + "cat/1.jpg,1,2,3,four\n", "line 2: expected four numbers, got 1,2,3,four"),
        (HEADER + "cat/1.jpg,1,2,3,nan\n", "line 2: expected four finite numbers, got 1,2,3,nan"),
        (HEADER + "cat/1.jpg,1,1,inf,5\n", "line 2: expected four finite numbers, got 1,1,inf,5"),
        (HEADER + "cat/1.jpg,1,1,1e400,5\n", "line 2: expected four finite numbers, got 1,1,1e400,5"),
        (HEADER + "cat/1.jpg,1,2,3\n", "line 2: expected 5 cells, got 4"),
        (HEADER + "\n\ncat/1.jpg,3,2,3,4\n", "line 4: expected xmin < xmax and ymin < ymax, got 3,2,3,4"),
        (HEADER + "cat/1.jpg,1,5,3,4\n", "line 2: expected xmin < xmax and ymin < ymax"),
        (HEADER + "cat/1.jpg,0.1,0.2,0.3,1\n", "expected boxes in pixels"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(tmp_path, text, message):
    make_splits(tmp_path)
    path = write(tmp_path / "test" / "boxes.csv", text)
    with pytest.raises(ValueError, match=message) as error:
        image_folder.load("test", root=tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(image_folder.load("train", root=tmp_path)) == 1  # training does not read it


def test_a_table_that_is_not_utf_8_is_named(tmp_path):
    make_splits(tmp_path)
    (tmp_path / "boxes.csv").write_bytes(HEADER.encode() + "test/cat/ä.jpg,1,2,3,4".encode("latin-1"))
    with pytest.raises(ValueError, match="boxes.csv: expected a CSV table in UTF-8"):
        image_folder.load("test", root=tmp_path)


def test_a_table_with_another_name_must_exist(tmp_path):
    make_splits(tmp_path)
    assert image_folder.load("test", root=tmp_path).boxes is None
    with pytest.raises(FileNotFoundError, match="marks.csv"):
        image_folder.load("test", root=tmp_path, boxes_csv="marks.csv")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/cat/1.jpg", "val/cat/1.jpg"], "only folders named train, validation, test, got a mixture: train, val"),
        (["Train/cat/1.jpg", "Test/cat/1.jpg"], "got a mixture: Test, Train"),
        (["train/1.jpg", "aeroplane/1.jpg"], "got a mixture: aeroplane, train"),
        (["1.jpg"], "in a folder for each class, got none"),
        (["cat/1.gif", "cat/2.webp"], "got none among 2 files"),
        (["train/1.jpg"], "got none among 1 files"),
    ],
)
def test_folders_that_fit_neither_layout_are_explained(tmp_path, names, message):
    make(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        image_folder.load("train", root=tmp_path)


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        ("valid", {}, "train, validation, test, got 'valid'"),
        ("validation", {}, "validation split has no images. Set validation_fraction"),
        ("train", {"validation_fraction": 1.0}, "validation_fraction to be at least 0 and below 1, got 1.0"),
        ("train", {"test_fraction": -0.1}, "test_fraction to be at least 0 and below 1, got -0.1"),
        ("train", {"test_fraction": 0.1}, "test_fraction 0 beside a folder test/, got 0.1"),
    ],
)
def test_wrong_options_are_explained(tmp_path, split, options, message):
    make_splits(tmp_path)
    with pytest.raises(ValueError, match=message):
        image_folder.load(split, root=tmp_path, **options)


def test_fractions_must_leave_images_for_training(tmp_path):
    make(tmp_path, "cat/1.jpg")
    with pytest.raises(ValueError, match="sum is below 1, got 0.5 . 0.5"):
        image_folder.load("train", root=tmp_path, validation_fraction=0.5, test_fraction=0.5)


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        image_folder.load("train", root=tmp_path / "nowhere")
