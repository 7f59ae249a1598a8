"""Boxes of the object prior for a folder of images, with and without classes."""
import json
import os

import numpy as np
import pytest

from ornet_tf import prior_boxes
from ornet_tf.data import loading
from ornet_tf.errors import UserError
from tests import tiny_prior


def get_config():
    """Returns configs/object_prior.py with the networks of tests/tiny_experiment.py."""
    config = tiny_prior.get_config()
    with config.unlocked():
        config.dataset = {"name": "image_folder", "options": {"root": "", "test_fraction": 0.0}}
    config.phase.stage_one.epochs = 0.0
    config.phase_order = ("evaluator", "stage_one")
    config.evaluation.update({"report_rows": ("object_prior",), "box_rule": "largest", "threshold_split": ""})
    config.export.row, config.training.summary_images = "object_prior", 0
    return config


def write_images(folder, classes):
    """Writes twelve drawn images to a folder, or to folders of classes; returns their file names."""
    source = loading.load_split(tiny_prior.get_config(), "train")
    names = [f"{classes[i % len(classes)]}{i}.png" for i in range(12)]
    for name, image in zip(names, source.images):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    return names


@pytest.mark.slow
def test_folders_of_classes_get_boxes_and_formats(tmp_path):
    names = write_images(tmp_path / "images", ("sparrow/", "wren/"))
    folder, workdir = str(tmp_path / "images"), str(tmp_path / "run")
    prior_boxes.main(get_config(), workdir, [folder], one_class=False, format=["csv"])
    found = tmp_path / "run" / "predictions"
    entries = json.loads((found / "predictions.json").read_text(encoding="utf-8"))
    assert sorted(os.path.relpath(entry["file"], folder) for entry in entries) == sorted(names)
    assert json.loads((found / ".class_names.json").read_text(encoding="utf-8")) == ["sparrow", "wren"]
    for entry in entries:
        assert entry["class_name"] == os.path.basename(os.path.dirname(entry["file"]))
        assert 0 < np.prod(np.subtract(entry["box"][2:], entry["box"][:2])) <= 1
    lines = (found / "csv" / "boxes.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(names)


@pytest.mark.slow
def test_images_in_the_folder_itself_are_of_one_class_and_the_prior_is_learned_once(tmp_path, caplog):
    write_images(tmp_path / "images", ("", "day1/"))
    with caplog.at_level("INFO", logger="absl"):
        for one_class in (False, True):  # the second time the prior is there
            prior_boxes.main(get_config(), str(tmp_path / "run"), [str(tmp_path / "images")], one_class=one_class)
    assert caplog.text.count("are of one class, 'object'") == 2
    assert caplog.text.count("Learning the object prior from 12 images") == 1


def test_anything_but_one_folder_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    for inputs, got in (([], "nothing"), ([str(tmp_path), str(tmp_path)], ""), ([str(tmp_path / "a.jpg")], "a.jpg")):
        with pytest.raises(UserError, match=f"Expected one folder of images after the flags, got .*{got}"):
            prior_boxes.main(get_config(), str(tmp_path / "run"), inputs, one_class=False)


def test_a_workdir_of_other_images_is_refused(tmp_path):
    for name in ("one", "two"):
        write_images(tmp_path / name, ("wren/", "owl/"))
    workdir, config = str(tmp_path / "run"), get_config()
    config.phase.evaluator.batch_size = 100  # ends the first start before it learns
    config.phase.evaluator.epochs = 1.0
    with pytest.raises(UserError, match="batch_size"):
        prior_boxes.main(config, workdir, [str(tmp_path / "one")], one_class=False)
    for folder, one_class in (("two", False), ("one", True)):
        with pytest.raises(UserError, match="run has the prior of .*one .one class: False.*choose another --workdir"):
            prior_boxes.main(config, workdir, [str(tmp_path / folder)], one_class=one_class)
