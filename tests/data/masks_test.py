"""Masks that are missing, broken, empty or of another size: the report on them, and metrics that need masks."""
import json

import numpy as np
import pytest

from ornet_tf import check_data
from ornet_tf import config as ornet
from ornet_tf.data import check_report, loading, masks
from ornet_tf.evaluation import measurement
from ornet_tf.training import training_images
from tests import forked_programs

SIZE = (20, 30)  # height, width
NAMES = [f"001.Wren/{letter}.jpg" for letter in "abcdef"]


@pytest.fixture
def tree(tmp_path, encode):
    """CUB's layout: one training image, and six test images with a mask each."""
    def write(name, content):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)

    names = ["001.Wren/trained.jpg", *NAMES]
    for name in names:
        write(f"images/{name}", encode(np.zeros([*SIZE, 3], np.uint8), "JPEG"))
    for row, name in enumerate(NAMES):
        mask = np.zeros(SIZE, np.uint8)
        mask[row] = 255
        write(f"segmentations/{name[:-4]}.png", encode(mask))
    rows = {
        "classes": ["1 001.Wren"], "images": [f"{i} {name}" for i, name in enumerate(names)],
        "image_class_labels": [f"{i} 1" for i in range(7)], "train_test_split": [f"{i} {int(not i)}" for i in range(7)],
        "bounding_boxes": [f"{i} 0 0 3 3" for i in range(7)],
    }  # fmt: skip
    for name, lines in rows.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def spoiled(tree, encode):
    """The tree with four masks that are missing, truncated, of another size and empty."""
    folder = tree / "segmentations" / "001.Wren"
    (folder / "a.png").unlink()
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:60])
    (folder / "c.png").write_bytes(encode(np.full([30, 20], 255, np.uint8)))
    (folder / "d.png").write_bytes(encode(np.full(SIZE, 127, np.uint8)))  # the brightest grey of the background
    return tree


def config_of(root, *metrics):
    config = ornet.default()
    config.dataset = {"name": "cub", "options": {"root": str(root)}}
    config.evaluation.metrics = metrics or ("corloc",)
    return config


def test_a_report_counts_masks_and_lists_the_unusable_ones(spoiled):
    report = check_report.check_splits(config_of(spoiled), ["train", "test"])
    assert report["splits"]["train"]["masks"] is None
    assert report["splits"]["test"]["masks"] == {
        "masks": 5, "without": NAMES[:1], "broken": [{"name": NAMES[1], "reason": "truncated or damaged PNG"}],
        "wrong_size": [{"name": NAMES[2], "size": [30, 20], "image_size": [20, 30]}], "empty": [NAMES[3]],
    }  # fmt: skip
    assert report["problems"] == 3
    lines = check_report.as_text(report).split("\n")
    at = lines.index("  5 of 6 images have a mask")
    assert lines[at + 1 :] == [
        "  masks that cannot be used: 1", f"    {NAMES[1]}: truncated or damaged PNG",
        "  masks of another size than their image: 1",
        f"    {NAMES[2]}: 30 x 20 (height x width), its image 20 x 30",
        "  masks without object (no pixel is brighter than half of the range): 1", f"    {NAMES[3]}",
        "  images without a mask: 1", f"    {NAMES[0]}",
        "", "3 problems.", "",
    ]  # fmt: skip
    assert "  no masks" in lines[:at]


def test_sizes_are_compared_by_headers_unless_that_of_the_image_is_unknown(spoiled, encode):
    (spoiled / "images" / NAMES[2]).write_bytes(b"")
    (spoiled / "segmentations" / NAMES[4]).with_suffix(".png").write_bytes(b"GIF89a" + bytes(40))
    (spoiled / "segmentations" / NAMES[5]).with_suffix(".png").write_bytes(encode(np.zeros([5, 6], np.uint8)))
    found = check_report.check_splits(config_of(spoiled), ["test"], headers_only=True)["splits"]["test"]["masks"]
    assert found == {
        "masks": 5, "without": NAMES[:1], "broken": [{"name": NAMES[4], "reason": "a GIF; only JPEG and PNG are read"}],
        "wrong_size": [{"name": NAMES[5], "size": [5, 6], "image_size": [20, 30]}], "empty": [],
    }  # fmt: skip


def test_the_exit_status_is_1_if_a_mask_is_unusable(tree, spoiled, capsys):
    options = {"split": "test", "duplicates": False, "headers_only": False, "json": True}
    with pytest.raises(SystemExit) as ended:
        check_data.main(config_of(spoiled), **options)
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["splits"]["test"]["masks"]["empty"] == [NAMES[3]]
    good = (tree / "segmentations" / NAMES[4]).with_suffix(".png").read_bytes()
    for name in NAMES[1:4]:  # the first image has no mask, which is no problem
        (tree / "segmentations" / name).with_suffix(".png").write_bytes(good)
    check_data.main(config_of(tree), **{**options, "json": False})
    assert "images without a mask: 1" in capsys.readouterr().out


def test_unusable_masks_are_listed_before_an_evaluation_or_training(spoiled, tmp_path):
    folder = spoiled / "segmentations" / "001.Wren"
    expected = (
        f"\n  {folder / 'a.png'}: file not found\n"
        f"  {folder / 'b.png'}: truncated or damaged PNG\n"
        f"  {folder / 'c.png'}: 30 x 20 (height x width), its image 20 x 30\n"
    )
    config = config_of(spoiled, "corloc", "pxap")
    with pytest.raises(ValueError, match="^3 of 6 masks .* pxap needs a mask") as caught:
        measurement.evaluate(config, str(tmp_path / "nowhere"))  # before the folder of the run is read
    assert expected in str(caught.value)
    with pytest.raises(ValueError, match="^The test split: 3 of 6 masks") as caught:
        training_images.load_and_check(config, str(tmp_path))
    assert expected in str(caught.value)
    assert len(loading.load_split(config_of(spoiled), "test")) == 6  # other metrics need no masks


def test_an_empty_mask_is_accepted_and_logged(tree, encode, caplog):
    source = loading.load_split(config_of(tree), "test").select([3, 4])
    with open(source.masks[0], "wb") as file:
        file.write(encode(np.zeros(SIZE, np.uint8)))
    with caplog.at_level("WARNING", logger="absl"):
        masks.check(source, ["pxap"])
    assert f"all background: {NAMES[3]}." in caplog.text


@pytest.mark.slow
def test_the_program_reports_unusable_masks_without_a_traceback(spoiled, tmp_path):
    config = tmp_path / "experiment.py"
    config.write_text(
        "from tests.data.masks_test import config_of\n\ndef get_config():\n"
        f"  return config_of({str(spoiled)!r}, 'pxap')\n"
    )
    command = ["ornet_tf.evaluate", f"--config={config}", f"--workdir={tmp_path / 'run'}"]
    ((status, text),) = forked_programs.run([command])
    assert status == 1 and "Traceback" not in text
    assert "Error: 3 of 6 masks" in text
