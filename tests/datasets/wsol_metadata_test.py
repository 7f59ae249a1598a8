"""The lists of wsolevaluation: labels, boxes of both conventions, masks, the messages."""
import numpy as np
import pytest

from ornet_tf.data.source import SPLITS, MissingSplit
from ornet_tf.datasets import wsol_metadata
from tests.datasets import config_source

LISTS = {
    "train": {"image_ids.txt": ["train/n1/a.JPEG", "train/n3/b,c.JPEG"],
              "class_labels.txt": ["train/n1/a.JPEG,0", "train/n3/b,c.JPEG,2"]},
    "val": {"image_ids.txt": ["val2/0/3.jpeg", "val2/2/1.jpeg"],
            "class_labels.txt": ["val2/2/1.jpeg,2", "val2/0/3.jpeg,0"],
            "localization.txt": ["val2/2/1.jpeg,1,2,3,4"]},
    "test": {"image_ids.txt": ["val/ILSVRC2012_val_00000083.JPEG", "val/ILSVRC2012_val_00000087.JPEG"],
             "class_labels.txt": ["val/ILSVRC2012_val_00000083.JPEG,1", "val/ILSVRC2012_val_00000087.JPEG,3"],
             "image_sizes.txt": ["val/ILSVRC2012_val_00000083.JPEG,500,375",
                                 "val/ILSVRC2012_val_00000087.JPEG,120,90"],
             "localization.txt": ["val/ILSVRC2012_val_00000083.JPEG,0,0,499,374",
                                  "val/ILSVRC2012_val_00000087.JPEG,12,0,119,89",
                                  "val/ILSVRC2012_val_00000087.JPEG,5,6,5,6"]},
}  # fmt: skip


@pytest.fixture
def options(tmp_path):
    for split, files in LISTS.items():
        (tmp_path / "metadata" / split).mkdir(parents=True)
        for name, lines in files.items():
            (tmp_path / "metadata" / split / name).write_text("\n".join(lines) + "\n")
    (tmp_path / "images").mkdir()
    return {"metadata": tmp_path / "metadata", "root": tmp_path / "images"}


def test_images_and_labels_have_the_order_of_image_ids(options):
    train, validation = (wsol_metadata.load(split, **options) for split in ("train", "validation"))
    assert train.names == LISTS["train"]["image_ids.txt"]
    assert train.images[0] == f"{options['root']}/train/n1/a.JPEG"
    np.testing.assert_array_equal(train.labels, [0, 2])
    np.testing.assert_array_equal(validation.labels, [0, 2])
    assert train.boxes is None
    # Class 3 is only in the test split, but all splits must have the same classes.
    assert train.class_names == validation.class_names == ["0", "1", "2", "3"]


def test_both_conventions_of_boxes_are_read(options):
    whole, (part, pixel) = wsol_metadata.load("test", **options).boxes
    np.testing.assert_array_equal(whole, [[0, 0, 375, 500]])  # as large as the image, by image_sizes.txt
    np.testing.assert_array_equal([part, pixel], [[0, 12, 90, 120], [6, 5, 7, 6]])
    whole, (part, _) = wsol_metadata.load("test", last_pixel=False, **options).boxes
    np.testing.assert_array_equal([whole[0], part], [[0, 0, 374, 499], [0, 12, 89, 119]])
    without, with_box = wsol_metadata.load("validation", last_pixel=False, **options).boxes
    assert without.shape == (0, 4)
    np.testing.assert_array_equal(with_box, [[2, 1, 4, 3]])


def test_the_folders_may_have_the_papers_names(options):
    for old, new in (("train", "train-weaksup"), ("val", "train-fullsup")):
        (options["metadata"] / old).rename(options["metadata"] / new)
    assert wsol_metadata.load("train", **options).names == LISTS["train"]["image_ids.txt"]
    assert wsol_metadata.load("validation", **options).names == LISTS["val"]["image_ids.txt"]


def test_class_names_come_from_a_file(options, tmp_path):
    (tmp_path / "names.txt").write_text("tench\ngoldfish\nshark\nray\n", encoding="utf-8")
    assert wsol_metadata.load("test", class_names=tmp_path / "names.txt", **options).class_names[3] == "ray"
    (tmp_path / "names.txt").write_text("tench\ngoldfish\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"labels must lie in 0..1"):
        wsol_metadata.load("test", class_names=tmp_path / "names.txt", **options)


def test_a_split_with_masks_has_no_boxes(options, caplog):
    lines = ["val2/0/3.jpeg,val2/0/3_m0.png,val2/0/3_ignore.png", "val2/0/3.jpeg,val2/0/3_m1.png,"]
    (options["metadata"] / "val" / "localization.txt").write_text("\n".join(lines))
    with caplog.at_level("WARNING", logger="absl"):
        assert wsol_metadata.load("validation", **options).boxes is None
    assert "lists masks" in caplog.text


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("class_labels.txt", "083.JPEG,1", "083.JPEG,one", "class_labels.txt, line 1: expected '<image>,<class>'"),
        ("class_labels.txt", "083.JPEG,1", "083.JPEG,\u00b2", "class_labels.txt, line 1: expected '<image>,<class>'"),
        ("class_labels.txt", "083.JPEG,1", "084.JPEG,1", "class_labels.txt: .*none for val/ILSVRC2012_val_00000083"),
        ("image_ids.txt", "val/", "/elsewhere/", "image_ids.txt, line 1: expected a file below .*'/elsewhere/ILSV"),
        ("image_ids.txt", "val/", "../", "image_ids.txt, line 1: expected a file below .*'../ILSVRC2012"),
        ("localization.txt", "0,0,499,374", "0,0,499", "localization.txt, line 1: expected '<image>,<x0>"),
        ("localization.txt", "0,0,499,374", "0,0,499,x", "localization.txt, line 1: expected '<image>,<x0>"),
        ("localization.txt", "083.JPEG", "084.JPEG", "localization.txt, line 1: expected an image of image_ids.txt"),
    ],
)
def test_a_malformed_list_is_named_with_its_line(options, name, old, new, message):
    path = options["metadata"] / "test" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        wsol_metadata.load("test", **options)


def test_missing_lists_and_folders_are_named(options):
    (options["metadata"] / "test" / "localization.txt").unlink()
    with pytest.raises(FileNotFoundError, match="test/localization.txt: no such file; expected the folder of the list"):
        wsol_metadata.load("test", **options)
    (options["metadata"] / "val").rename(options["metadata"] / "valid")
    with pytest.raises(MissingSplit, match="metadata/val or .*train-fullsup: no such folder"):
        wsol_metadata.load("validation", **options)
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder; expected the folder of the images"):
        wsol_metadata.load("train", metadata=options["metadata"], root=options["root"] / "nowhere")


def test_the_configuration_loads_the_lists_of_cub(options):
    assert [len(config_source.load("wsol_metadata", split, **options)) for split in SPLITS] == [2, 2, 2]
    box = config_source.load("wsol_metadata", "validation", **options).boxes[1]
    np.testing.assert_array_equal(box, [[2, 1, 4, 3]])  # in the lists of CUB, x1 and y1 are one past the last pixel


def append(path, *lines):
    path.write_text(path.read_text() + "\n".join(lines) + "\n")


def test_repeated_images_and_contradictory_classes_are_refused(options):
    folder = options["metadata"] / "test"
    name = LISTS["test"]["image_ids.txt"][0]
    append(folder / "class_labels.txt", *LISTS["test"]["class_labels.txt"][:1])  # the same line again
    assert len(wsol_metadata.load("test", **options)) == 2
    append(folder / "class_labels.txt", f"./{name},0")
    with pytest.raises(ValueError, match=f"class_labels.txt, line 4: expected one class .*, got another of '{name}'"):
        wsol_metadata.load("test", **options)
    append(folder / "image_ids.txt", f"{options['root']}/{name}")
    with pytest.raises(ValueError, match=f"image_ids.txt: expected each image once, got '{name}' again"):
        wsol_metadata.load("test", **options)


def test_a_byte_order_mark_windows_line_ends_and_absolute_paths_are_read(options):
    before = wsol_metadata.load("test", **options)
    for path in (options["metadata"] / "test").iterdir():
        lines = [f"{options['root']}/{line}" for line in path.read_text().splitlines()]
        path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    after = wsol_metadata.load("test", **options)
    alias = options["metadata"] / "alias"
    alias.symlink_to(options["root"], target_is_directory=True)
    for path in (options["metadata"] / "test").iterdir():
        path.write_text(path.read_text().replace(str(options["root"]), str(alias)))
    through_a_link = wsol_metadata.load("test", **options)
    assert (through_a_link.names, through_a_link.images) == (before.names, before.images)
    assert (after.names, after.images) == (before.names, before.images)
    np.testing.assert_array_equal(np.concatenate(after.boxes), np.concatenate(before.boxes))
