import numpy as np
import pytest

from ornet_tf import build
from ornet_tf import config as ornet
from ornet_tf.data import loading
from ornet_tf.errors import UserError
from ornet_tf.training import training_images
from tests import tiny_experiment


def test_a_split_is_loaded_with_its_options():
    source = loading.load_split(tiny_experiment.get_config(), "validation")
    assert len(source) == 12
    assert len(source.class_names) == 3
    assert source.boxes is not None


def test_an_empty_split_is_an_error():
    config = tiny_experiment.get_config()
    config.dataset.options.validation_count = 0
    with pytest.raises(ValueError, match="validation"):
        loading.load_split(config, "validation")


def test_a_phase_may_change_options_of_the_generator():
    config = tiny_experiment.get_config()
    config.phase.stage_two.generator = {"base_width": 8}
    one = build.build_method(config, config.phase.stage_one, 3)
    two = build.build_method(config, config.phase.stage_two, 3)
    assert one.parts["generator"].get_layer("down0_1_conv").filters == 4
    assert two.parts["generator"].get_layer("down0_1_conv").filters == 8


def test_trained_weights_are_those_of_the_checkpoint(tiny_run):
    config, workdir = tiny_run
    first = build.trained_method(config, "stage_two", workdir, 3)
    second = build.trained_method(config, "stage_two", workdir, 3)
    for name, part in first.parts.items():
        for a, b in zip(part.get_weights(), second.parts[name].get_weights()):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("row", "part"), [("cam", "upper"), ("seed", "direction")])
def test_a_row_without_weights_for_a_part_is_refused_after_training_too(tiny_run, row, part):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    with config.unlocked():
        parts = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
        config.evaluation.row.seed = ornet.row("object_prior_scores", parts)
        config.evaluation.row.cam.init_from = {"lower": "evaluator.lower"}
    said = rf"config.evaluation.row.{row}.init_from: expected weights for the part {part}, .* Set config.evaluation.row"
    with pytest.raises(UserError, match=said):
        build.trained_method(config, row, workdir, 3)


def test_a_run_is_evaluated_without_the_start_weights(tmp_path):
    config = tiny_experiment.get_config()
    config.backbone = {"name": "vgg16", "options": {"weights": str(tmp_path / "gone.h5")}}
    assert build.without_start_weights(config).backbone.options.weights is None
    assert config.backbone.options.weights.endswith("gone.h5")


@pytest.fixture
def folders(tmp_path, encode):
    """A configuration of images in folders, two classes, training and test."""
    config = tiny_experiment.get_config()
    image = encode(np.zeros([40, 40, 3], np.uint8))
    for name in ("train/a/0", "train/a/1", "train/b/2", "test/a/3", "test/b/4"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    config.dataset = {"name": "image_folder", "options": {"root": str(tmp_path)}}
    return config, tmp_path


def test_broken_images_of_all_splits_are_listed_at_once(folders):
    config, root = folders
    (root / "train" / "b" / "2.png").write_bytes(b"")
    (root / "test" / "a" / "3.png").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"(?s)train split: 1 of 3 .*2.png: an empty.*test split: 1 of 2 .*3.png: n"):
        training_images.load_and_check(config, f"{root}-run")


def test_images_that_were_whole_are_not_decoded_again_until_they_change(folders, caplog):
    config, root = folders
    assert len(training_images.load_and_check(config, f"{root}-run")) == 3
    with caplog.at_level("INFO", logger="absl"):
        assert len(training_images.load_and_check(config, f"{root}-run")) == 3
    assert "The 3 images of train are those that were found whole before" in caplog.text
    assert "Checked" not in caplog.text
    (root / "train" / "b" / "2.png").write_bytes(b"broken")
    for _ in range(2):  # what stops a run is looked at again
        with pytest.raises(ValueError, match="train split: 1 of 3 .*cannot be used"):
            training_images.load_and_check(config, f"{root}-run")
    config.input.broken_images = "skip"
    assert len(training_images.load_and_check(config, f"{root}-run")) == 2
    caplog.clear()
    with caplog.at_level("INFO", logger="absl"):
        assert training_images.load_and_check(config, f"{root}-run").names == ["train/a/0.png", "train/a/1.png"]
    assert "1 broken images of train are left out, as before" in caplog.text
    assert "Checked" not in caplog.text
    config.input.broken_images = "stop"
    with pytest.raises(ValueError, match="train split: 1 of 3 .*cannot be used"):
        training_images.load_and_check(config, f"{root}-run")


def test_a_faulty_table_of_boxes_stops_training_a_missing_split_does_not(folders, caplog):
    config, root = folders
    with caplog.at_level("WARNING", logger="absl"):
        assert len(training_images.load_and_check(config, f"{root}-run")) == 3
    assert "There will be no evaluation on validation" in caplog.text
    (root / "boxes.csv").write_text("test/a/3.png,1,1,5,5\n")
    with pytest.raises(ValueError, match="boxes.csv, line 1: expected the columns"):
        training_images.load_and_check(config, f"{root}-run")
