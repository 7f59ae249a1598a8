import numpy as np
import pytest

from ornet_tf.training import training_images
from tests import tiny_experiment


@pytest.fixture
def folders(tmp_path, encode):
    """A configuration with images in folders: two classes, training and test split."""
    config = tiny_experiment.get_config()
    image = encode(np.zeros([40, 40, 3], np.uint8))
    for name in ("train/a/0", "train/a/1", "train/b/2", "test/a/3", "test/b/4"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    config.dataset = {"name": "image_folder", "options": {"root": str(tmp_path)}}
    return config, tmp_path


def test_broken_images_of_all_splits_are_reported_together(folders):
    config, root = folders
    (root / "train" / "b" / "2.png").write_bytes(b"")
    (root / "test" / "a" / "3.png").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"(?s)train split: 1 of 3 .*2.png: an empty.*test split: 1 of 2 .*3.png: n"):
        training_images.load_and_check(config, f"{root}-run")


def test_checked_images_are_decoded_again_only_after_a_change(folders, caplog):
    config, root = folders
    assert len(training_images.load_and_check(config, f"{root}-run")) == 3
    with caplog.at_level("INFO", logger="absl"):
        assert len(training_images.load_and_check(config, f"{root}-run")) == 3
    assert "The 3 images of train have not changed" in caplog.text
    assert "Checked" not in caplog.text
    (root / "train" / "b" / "2.png").write_bytes(b"broken")
    for _ in range(2):  # images that stopped the run are checked again
        with pytest.raises(ValueError, match="train split: 1 of 3 .*cannot be used"):
            training_images.load_and_check(config, f"{root}-run")
    config.input.broken_images = "skip"
    assert len(training_images.load_and_check(config, f"{root}-run")) == 2
    caplog.clear()
    with caplog.at_level("INFO", logger="absl"):
        assert training_images.load_and_check(config, f"{root}-run").names == ["train/a/0.png", "train/a/1.png"]
    assert "1 broken images of train are left out" in caplog.text
    assert "Checked" not in caplog.text
    config.input.broken_images = "stop"
    with pytest.raises(ValueError, match="train split: 1 of 3 .*cannot be used"):
        training_images.load_and_check(config, f"{root}-run")


def test_an_invalid_box_table_stops_training_but_a_missing_split_does_not(folders, caplog):
    config, root = folders
    with caplog.at_level("WARNING", logger="absl"):
        assert len(training_images.load_and_check(config, f"{root}-run")) == 3
    assert "validation split can't be evaluated" in caplog.text
    (root / "boxes.csv").write_text("test/a/3.png,1,1,5,5\n")
    with pytest.raises(ValueError, match="boxes.csv, line 1: expected the columns"):
        training_images.load_and_check(config, f"{root}-run")
