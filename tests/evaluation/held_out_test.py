"""The checks of the evaluated splits, with a real run on a folder of files."""
import csv
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from ornet_tf.datasets import image_folder
from ornet_tf.errors import UserError
from ornet_tf.evaluation import held_out, measurement, report
from ornet_tf.runs import checkpoints, run_folder
from ornet_tf.training import phases
from ornet_tf.training.phases import train
from tests.evaluation import tiny_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns the experiment, and the folder with its images and its run."""
    folder = tmp_path_factory.mktemp("held_out")
    config = tiny_folder.write(folder / "images")
    config.input.update({"resize": 40, "crop": 32})  # hides a tenth of an image at each edge
    config.evaluation.report_rows = ("centre_box",)
    train(config, str(folder / "run"))
    return config, folder


@pytest.fixture(name="copy")
def _copy(trained, tmp_path):
    """Returns the experiment with a copy of images and run, which has other paths and modification times."""
    config = trained[0].copy_and_resolve_references()
    for name in ("images", "run"):
        shutil.copytree(trained[1] / name, tmp_path / name, copy_function=shutil.copy)
    config.dataset.options.root = str(tmp_path / "images")
    return config, tmp_path


def box_lines(config, folder):
    """Returns the lines of boxes.csv, and the indices of those of test images."""
    lines = (folder / "images" / "boxes.csv").read_text().splitlines()
    names = {*image_folder.load("test", **config.dataset.options.to_dict()).names}
    return lines, [i for i, line in enumerate(lines) if line.split(",")[0] in names]


def write_boxes(folder, lines):
    (folder / "images" / "boxes.csv").write_text("\n".join(lines) + "\n")


def test_boxes_of_larger_originals_are_refused_before_evaluation_and_training(copy):
    config, folder = copy
    lines, of_test = box_lines(config, folder)
    for i in of_test[1:]:
        name, *sides = lines[i].split(",")
        lines[i] = ",".join([name, *(str(10 * float(side)) for side in sides)])
    write_boxes(folder, lines)
    message = f"{len(of_test) - 1} of {len(of_test)} boxes of the test split are wrong: .* end outside their"
    with pytest.raises(ValueError, match=message):
        measurement.evaluate(config, str(folder / "run"))
    assert not (folder / "run" / "evaluation").exists()
    with pytest.raises(ValueError, match=f"The test split: {message}"):  # before training, too
        train(config, str(folder / "new"))


def test_images_without_a_box_and_boxes_outside_of_the_crop_are_counted_in_every_table(copy, caplog):
    config, folder = copy
    lines, of_test = box_lines(config, folder)
    hidden = lines[of_test[2]].split(",")[0]
    lines[of_test[2]] = f"{hidden},0,0,1,{tiny_folder.SIDE}"  # at the upper edge
    write_boxes(folder, [line for i, line in enumerate(lines) if i not in of_test[:2]])
    config.evaluation.metrics = ("corloc", "ornet", "wsol_v1", "wsol_v2")
    with caplog.at_level("WARNING", logger="absl"):
        result = measurement.evaluate(config, str(folder / "run"))
    count = len(of_test)
    assert f"2 of {count} images of test have no box" in caplog.text
    for figures in result["rows"]["centre_box"].values():
        assert (figures["images"], figures["images_with_boxes"], figures["images_out_of_view"]) == (count, count - 2, 1)
    text = (folder / "run" / "evaluation" / "table.md").read_text()
    notes = f"{count - 2} with a box: localization is measured on these; 1 with no box in the evaluation view, which"
    assert text.count(f"{count} test images ({notes} count as missed), ") == 5
    assert "trained on" not in text
    with open(folder / "run" / "evaluation" / "per_image.csv", encoding="utf-8", newline="") as file:
        missed, = (row for row in csv.DictReader(file) if row["name"] == hidden)
    ious = [value for key, value in missed.items() if key.startswith("iou_")]
    assert ious == ["0.0000"] * 5
    write_boxes(folder, lines[:1])
    text = report.table(measurement.evaluate(config, str(folder / "run")))
    assert text.count(f"{count} test images (none with a box: ") == 5


@pytest.mark.parametrize("change", [{"test_fraction": 0.9}, {"split_seed": 3}])
def test_a_test_split_with_training_images_is_refused(trained, change):
    config, folder = trained[0].copy_and_resolve_references(), trained[1]
    with config.unlocked():
        config.dataset.options.update(change)
    found = image_folder.load("test", **config.dataset.options.to_dict()).names
    trained_on = {*image_folder.load("train", **trained[0].dataset.options.to_dict()).names}
    both = [name for name in found if name in trained_on]
    message = rf"{len(both)} of {len(found)} images of the test split are training images of the run in .*: {both[0]}"
    with pytest.raises(ValueError, match=message):
        measurement.evaluate(config, str(folder / "run"))
    with config.unlocked():
        config.dataset.options.update({"test_fraction": 0.25, "split_seed": 0, "validation_fraction": 0.3})
    config.evaluation.threshold_split = "validation"
    with pytest.raises(ValueError, match="images of the validation split are training images"):
        measurement.evaluate(config, str(folder / "run"))


def test_a_training_image_under_another_name_is_reported_in_the_table(copy):
    config, folder = copy
    of_train = image_folder.load("train", **config.dataset.options.to_dict()).images[0]
    of_test = image_folder.load("test", **config.dataset.options.to_dict()).images[0]
    Image.open(of_train).save(of_test, compress_level=9)  # other bytes, the same pixels
    result = measurement.evaluate(config, str(folder / "run"))
    assert result["images_trained_on"] == {"test": 1}
    assert "1 test images have the pixels of an image that the run was trained on." in report.table(result)


def test_a_test_split_of_training_images_under_other_names_is_refused(copy):
    config, folder = copy
    of_train = image_folder.load("train", **config.dataset.options.to_dict()).images
    of_test = image_folder.load("test", **config.dataset.options.to_dict()).images
    for path, other in zip(of_test, of_train):
        Image.open(other).save(path)
    with pytest.raises(UserError, match=rf"{len(of_test)} of {len(of_test)} images of the test split are tr"):
        measurement.evaluate(config, str(folder / "run"))


def test_a_moved_run_can_be_resumed_but_not_with_other_images(copy):
    config, folder = copy
    os.remove(folder / "run" / "evaluator" / "finished.json")
    train(config, str(folder / "run"), allow_changed_settings=True)  # the path of the images is one of the settings
    assert run_folder.is_finished(str(folder / "run" / "evaluator"))
    os.remove(folder / "run" / "evaluator" / "finished.json")
    source = image_folder.load("train", **config.dataset.options.to_dict())
    for path in source.images[3:13]:
        Image.fromarray(np.asarray(Image.open(path)) ^ 255).save(path)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"10 have other pixels \({source.names[3]}, .* and 7 more\)"):
            train(config, str(folder / "run"))


def test_weights_that_are_not_finite_are_refused(copy):
    config, folder = copy
    path = checkpoints.latest_checkpoint(str(folder / "run" / "evaluator"))
    method, _ = phases.build_phase(config, "evaluator", 3, steps=1)
    checkpoints.load_parts(method.parts, {part: f"evaluator.{part}" for part in method.parts}, str(folder / "run"))
    weight = method.parts["upper"].weights[0]
    weight.assign(np.full(weight.shape, np.nan))
    step = int(path.rpartition("-")[2])
    checkpoints.PhaseCheckpoints(str(folder / "run" / "evaluator"), method.parts, [], keep=1).save(step)
    with pytest.raises(ValueError, match=r"1 of \d+ weights of evaluator.upper are NaN or infinite, .*has diverged"):
        measurement.evaluate(config, str(folder / "run"))


def test_a_split_of_other_classes_is_refused(trained):
    checked = held_out.load(trained[0], "test")
    other = checked._replace(source=image_folder.load("test", **trained[0].dataset.options.to_dict()))
    object.__setattr__(other.source, "class_names", ["x", "y", "z"])
    with pytest.raises(ValueError, match="test split has other classes"):
        held_out.check(other, "test", str(trained[1] / "run"))
