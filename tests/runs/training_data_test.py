"""A run is bound to its training images and can't be evaluated on them."""
import os
import shutil

import numpy as np
import pytest

from ornet_tf.compat import keras
from ornet_tf.data import loading
from ornet_tf.data.checked_images import Checked
from ornet_tf.data.image_store import measure
from ornet_tf.data.source import Source
from ornet_tf.runs import checkpoints, training_data
from tests import tiny_experiment

PHASES = ["evaluator"]


@pytest.fixture(scope="module")
def full():
    """The checked training images of the tiny experiment."""
    source = loading.load_source(tiny_experiment.get_config(), "train")
    return Checked(source, "first", measure(source).digests)


def select(checked, indices, **changes):
    source = checked.source.select(indices)
    fields = {key: getattr(source, key) for key in ("class_names", "images", "names", "labels")}
    return Checked(Source(**{**fields, **changes}), "first", checked.digests[indices])


@pytest.fixture
def run(full, tmp_path):
    """A run with a checkpoint, trained on 40 images."""
    training_data.bind(str(tmp_path), select(full, range(40)), PHASES)
    save_checkpoint(tmp_path)
    return tmp_path


def save_checkpoint(workdir):
    folder = str(workdir / "evaluator")
    checkpoints.PhaseCheckpoints(folder, {"part": keras.Sequential([keras.Input([1])])}, [], keep=1).save(1)


def refusal(run, checked):
    before = {name: (run / name).read_bytes() for name in ("data.json", "training_images.npz")}
    with pytest.raises(ValueError) as caught:
        training_data.bind(str(run), checked, PHASES)
    assert before == {name: (run / name).read_bytes() for name in before}
    return str(caught.value)


def test_a_run_is_bound_to_its_data_once_it_has_a_checkpoint(full, tmp_path):
    training_data.bind(str(tmp_path), full, PHASES)
    training_data.bind(str(tmp_path), select(full, range(40)), PHASES)  # no checkpoint yet
    save_checkpoint(tmp_path)
    training_data.bind(str(tmp_path), select(full, range(40)), PHASES)
    text = refusal(tmp_path, full)
    assert "has changed since this run was started (40 images of 3 classes then, 48 of 3 now): 8 are new (" in text
    assert "and 5 more)" in text and str(tmp_path) in text


def test_replaced_images_are_counted_and_named(full, run):
    changed = select(full, range(40))._replace(fingerprint="changed")
    changed.digests[5:15] += 1
    names = ", ".join(changed.source.names[5:8])
    assert f": 10 have other pixels ({names} and 7 more)" in refusal(run, changed)


def test_changed_labels_names_order_and_classes_are_refused(full, run):
    names, labels = list(full.source.names[:40]), np.array(full.source.labels[:40])
    labels[3] = (labels[3] + 1) % 3
    assert f"1 have another class ({names[3]})" in refusal(run, select(full, range(40), labels=labels))
    renamed = ["new", *names[1:]]
    assert "1 are new (new); 1 are missing" in refusal(run, select(full, range(40), names=renamed))
    reordered = select(full, [1, 0, *range(2, 40)])._replace(fingerprint="changed")
    assert "they are in another order" in refusal(run, reordered)
    assert "other class names" in refusal(run, select(full, range(40), class_names=["x", "y", "z"]))


def test_replaced_images_are_refused_again_without_their_digests(full, run):
    """The second time, the stored result of the image check is used, which has no digests."""
    source = full.source.select([*range(39), 41])
    swapped = Source(source.class_names, source.images, full.source.names[:40], source.labels)
    for digests in (measure(swapped).digests, None):
        assert "1 have other pixels" in refusal(run, Checked(swapped, "swapped", digests))


def test_a_run_copied_with_its_images_is_resumed(full, run):
    elsewhere = select(full, range(40))._replace(fingerprint="elsewhere")
    training_data.bind(str(run), elsewhere, PHASES)
    before = (run / "training_images.npz").read_bytes()
    training_data.bind(str(run), elsewhere._replace(digests=None), PHASES)  # their fingerprint is stored now
    assert (run / "training_images.npz").read_bytes() == before


def test_a_run_without_stored_images_is_resumed_and_stores_them(full, run, caplog):
    os.remove(run / "training_images.npz")
    with caplog.at_level("INFO", logger="absl"):
        assert training_data.check_not_trained_on(str(run), "test", select(full, [40])) is None
        training_data.bind(str(run), select(full, range(40))._replace(digests=None), PHASES)
    assert "can't be checked whether images of the test split are among them" in caplog.text
    assert "they are stored now" in caplog.text
    assert training_data.read_images(str(run)).images[:, 2].tolist() == full.digests[:40].tolist()


def test_a_million_images_take_24_megabytes(full, tmp_path):
    training_data.write_images(str(tmp_path), training_data.TrainingImages(np.zeros([10**6, 3], np.int64), "a"))
    assert os.path.getsize(tmp_path / "training_images.npz") < 25e6


def test_a_damaged_file_is_refused(run):
    path = run / "training_images.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="training_images.npz can't be read"):
        training_data.read_images(str(run))


def test_training_images_in_the_test_split_are_counted_and_named(full, run):
    assert training_data.check_not_trained_on(str(run), "test", select(full, range(40, 48))) == 0
    with pytest.raises(ValueError) as caught:
        training_data.check_not_trained_on(str(run), "test", select(full, range(30, 48)))
    names = ", ".join(full.source.names[30:33])
    assert f"10 of 18 images of the test split are training images of the run in {run}: {names} and 7 more." in str(
        caught.value
    )
    # The training split itself is allowed.
    assert training_data.check_not_trained_on(str(run), "train", select(full, range(40))) == 40


def test_equal_names_are_allowed_and_equal_pixels_under_other_names_are_counted(full, tmp_path, caplog):
    """Data sets may number the images of each split from zero; official splits share some images."""
    training_data.bind(str(tmp_path), select(full, range(30)), PHASES)
    names = [*full.source.names[:3], *map(str, range(15)), "copy"]
    held_out = select(full, [*range(30, 48), 5], names=names)
    with caplog.at_level("WARNING", logger="absl"):
        assert training_data.check_not_trained_on(str(tmp_path), "test", held_out) == 1
    assert "1 of 19 images of the test split have the pixels of training images: copy." in caplog.text


def test_a_run_with_phases_of_another_run_inherits_its_data(full, run, tmp_path):
    variant = tmp_path / "variant"
    training_data.inherit(str(variant), str(run))
    shutil.copytree(run / "evaluator", variant / "evaluator")
    assert "8 are new" in refusal(variant, full)
    training_data.inherit(str(variant), str(tmp_path / "none"))
    training_data.inherit(str(tmp_path / "none"), str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
