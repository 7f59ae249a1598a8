"""The report on a data set: its numbers, its problems, and the exit status of the program."""
import pathlib

import numpy as np
import pytest

from ornet_tf import config as ornet
from ornet_tf.data import check_report
from ornet_tf.data.source import Source
from tests import forked_programs

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path, encode):
    """A folder of images with split folders: three broken files, boxes of every kind, one image in two splits."""
    def image(seed, kind="PNG", **options):
        return encode(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8), kind, **options)

    files = {
        "train/crane/a.png": image(0), "train/crane/b.png": image(1), "train/wren/c.jpg": image(2, "JPEG"),
        "train/wren/d.jpg": image(3, "JPEG")[:300], "train/wren/e.png": b"",
        "test/crane/f.png": image(4), "test/crane/g.png": image(5), "test/wren/h.png": image(1),
        "test/wren/i.jpg": image(6, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"),
        "test/wren/j.png": b"GIF89a" + bytes(40),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    rows = [
        "crane/f.png,0,0,40,30", "crane/f.png,-1,0,20,30.5",  # the whole image; outside by a pixel at most
        "crane/g.png,0,0,41.5,30", "crane/g.png,5,28,10,33",  # outside by 1.5 and by 3 pixels
        "wren/i.jpg,0,0,30,40",  # the upright image is 40 high and 30 wide
        "wren/j.png,0,0,999,999",  # the size of this image is unknown
    ]  # fmt: skip
    (tmp_path / "test" / "boxes.csv").write_text("\n".join(["file,xmin,ymin,xmax,ymax", *rows]))
    return tmp_path


def config_of(root, **options):
    config = ornet.default()
    config.dataset.options = {"root": str(root), **options}
    return config


def test_a_report_holds_counts_broken_files_and_wrong_boxes(tree):
    report = check_report.check_splits(config_of(tree), duplicates=True)
    train, validation, test = (report["splits"][split] for split in ("train", "validation", "test"))
    assert {key: train[key] for key in ("images", "classes", "smallest", "largest", "boxes")} == {
        "images": 5, "classes": 2, "smallest": {"class": "crane", "images": 2},
        "largest": {"class": "wren", "images": 3}, "boxes": None,
    }  # fmt: skip
    assert train["broken"] == [
        {"name": "train/wren/d.jpg", "reason": "truncated or damaged JPEG"},
        {"name": "train/wren/e.png", "reason": "an empty file"},
    ]
    assert "validation split has no images" in validation["missing"]
    assert test["broken"] == [{"name": "test/wren/j.png", "reason": "a GIF; only JPEG and PNG are read"}]
    boxes = test["boxes"]
    assert (boxes["boxes"], boxes["without"], boxes["no_area"]) == (6, ["test/wren/h.png"], [])
    assert boxes["outside"] == [
        {"name": "test/crane/g.png", "box": [0.0, 0.0, 30.0, 41.5], "size": [30, 40], "pixels": 1.5},
        {"name": "test/crane/g.png", "box": [28.0, 5.0, 33.0, 10.0], "size": [30, 40], "pixels": 3.0},
    ]
    assert report["duplicates"] == [["train/train/crane/b.png", "test/test/wren/h.png"]]
    assert report["problems"] == 2 + 1 + 2 + 1


def test_duplicates_are_found_by_content(tmp_path):
    files = {"a": b"one", "b": b"two", "c": b"three"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in (*files, "missing")]
    train = Source(["x"], paths, ["a", "b", "c", "missing"], np.zeros(4, int))
    # The length of b with other content; c twice; a file twice that is in no other split.
    test = Source(["x"], [b"owt", b"three", b"three", b"four!!", b"four!!"], list("pqrst"), np.zeros(5, int))
    assert check_report.find_duplicates({"train": train, "test": test}) == [["train/c", "test/q", "test/r"]]
    assert check_report.find_duplicates({"train": train}) == []


def test_the_text_names_problems_and_shortens_long_lists(tree):
    text = check_report.as_text(check_report.check_splits(config_of(tree), duplicates=True))
    for line in (
        "train: 5 images, 2 classes (smallest 'crane' with 2, largest 'wren' with 3)",
        "    train/wren/e.png: an empty file",
        "  6 boxes in 4 of 5 images",
        "    test/crane/g.png: ymin 28, xmin 5, ymax 33, xmax 10 in 30 x 40 (height x width), 3 pixels outside",
        "  train/train/crane/b.png = test/test/wren/h.png",
        "6 problems.",
    ):
        assert line in text.split("\n")
    broken = [{"name": f"{i}.jpg", "reason": "an empty file"} for i in range(50)]
    sizes = {key: {"class": "a", "images": 50} for key in ("smallest", "largest")}
    found = {"images": 50, "classes": 1, **sizes, "broken": broken, "boxes": None, "masks": None}
    text = check_report.as_text({"dataset": "x", "splits": {"train": found}, "problems": 50})
    assert "files that cannot be used: 50" in text and "and 30 more" in text and "20.jpg" not in text


def test_a_data_set_that_cannot_be_loaded_is_a_problem(tmp_path):
    report = check_report.check_splits(config_of(tmp_path / "nowhere"), ["test"])
    assert report["problems"] == 1
    assert "nowhere: no such folder" in report["splits"]["test"]["error"]
    assert "test: Error: " in check_report.as_text(report)


@pytest.mark.slow
def test_the_exit_status_of_the_program_is_1_if_there_are_problems(tmp_path, encode):
    good, folders = encode(np.zeros([8, 8, 3], np.uint8)), [tmp_path / name for name in ("whole", "broken")]
    for folder in folders:
        (folder / "train" / "wren").mkdir(parents=True)
        (folder / "train" / "wren" / "1.png").write_bytes(good)
    (folders[1] / "train" / "wren" / "2.png").write_bytes(good[:40])
    whole, broken = (
        ["--config=configs/image_folder.py", f"--config.dataset.options.root={folder}"]
        for folder in folders
    )
    (status, output), report, missing, listed, mistyped = forked_programs.run([
        ["ornet_tf.check_data", *whole],
        ["ornet_tf.datasets", "check", "--split=train", "--json", *broken],
        ["ornet_tf.datasets", "check", "--split=test", *broken],
        ["ornet_tf.datasets", "--help"],
        ["ornet_tf.datasets", "chekc", *whole],
    ])
    assert (status, output.split("\n")[-2]) == (0, "No problems.")
    assert report[0] == 1 and '"name": "train/wren/2.png"' in report[1]
    assert missing[0] == 1 and "the test split has no images" in missing[1]
    assert "--split:" in listed[1] and "python -m ornet_tf.datasets check" in listed[1] and "Error" not in listed[1]
    assert mistyped[0] == 1 and "expected `python -m ornet_tf.datasets check` or `shard`" in mistyped[1]
