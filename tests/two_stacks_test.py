"""Each stack reads what the other one writes. `make test-addons` runs this with the default stack in .venv."""
import os
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build
from ornet_tf.data import loading
from ornet_tf.inference import saved_model
from ornet_tf.maps import boxes
from ornet_tf.models.variables import named_variables
from ornet_tf.training import weights_file
from tests import source_tree

PEER = os.environ.get("ORNET_PEER_PYTHON")
pytestmark = pytest.mark.skipif(not PEER, reason="ORNET_PEER_PYTHON names no Python with the other stack")
CONFIG = "--config=tests/tiny_experiment.py"
ANSWER = """
import sys
import numpy as np
import ornet_tf
import tensorflow as tf
images = tf.constant(list(np.load(sys.argv[2], allow_pickle=False)["images"]))
signatures = tf.saved_model.load(sys.argv[1]).signatures
answer = {name: value.numpy() for name, value in signatures["activation_map_float"](image_bytes=images).items()}
for name in ("detection_class_names", "status"):
    answer[name] = answer[name].astype("S")  # objects can't be stored
np.savez(sys.argv[3], tensorflow=tf.__version__, **answer)
"""


def peer(*arguments):
    """Runs the other stack's Python and fails with its output."""
    done = subprocess.run([PEER, *arguments], cwd=source_tree.ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def images(tiny_run):
    return np.array(loading.load_split(tiny_run[0], "test").images, dtype="S")


def answer(saved_model, images):
    found = tf.saved_model.load(saved_model).signatures["activation_map_float"](image_bytes=tf.constant(list(images)))
    return {name: value.numpy() for name, value in found.items()}


def expect_same(actual, expected):
    np.testing.assert_allclose(actual["activation_map"], expected["activation_map"], atol=1e-4)
    np.testing.assert_allclose(actual["detection_boxes"], expected["detection_boxes"], atol=1e-4)
    np.testing.assert_allclose(actual["detection_scores"], expected["detection_scores"], atol=1e-4)
    np.testing.assert_array_equal(actual["detection_classes"], expected["detection_classes"])
    for name in ("detection_class_names", "status"):
        np.testing.assert_array_equal(*(np.array(given[name]).astype("S") for given in (actual, expected)))


@pytest.fixture(scope="module", params=boxes.RULES)
def exported(request, tiny_run):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.evaluation.box_rule = request.param
    return saved_model.export(config, workdir)


def test_our_export_gives_the_same_results_on_the_other_stack(exported, images, tmp_path):
    np.savez(tmp_path / "images.npz", images=images)
    peer("-c", ANSWER, exported, str(tmp_path / "images.npz"), str(tmp_path / "answer.npz"))
    with np.load(tmp_path / "answer.npz") as theirs:
        assert str(theirs["tensorflow"]) != tf.__version__
        expect_same(theirs, answer(exported, images))


def test_weights_and_export_of_the_other_stack_give_the_same_results(tiny_run, images, tmp_path):
    config, workdir = tiny_run
    packed, returned = str(tmp_path / "packed.npz"), str(tmp_path / "returned.npz")
    theirs = f"--workdir={tmp_path / 'theirs'}"
    weights_file.pack(config, workdir, packed)
    peer("-m", "ornet_tf.weights", CONFIG, theirs, "unpack", packed)
    peer("-m", "ornet_tf.export", CONFIG, theirs)
    peer("-m", "ornet_tf.weights", CONFIG, theirs, "pack", returned)
    ours = saved_model.export(config, workdir)
    expect_same(answer(str(tmp_path / "theirs" / "export" / "1"), images), answer(ours, images))
    weights_file.unpack(config, str(tmp_path / "ours"), returned)
    for name in config.phase_order:
        before, after = (
            named_variables(build.trained_method(config, name, folder, 3).parts, trainable_only=False)
            for folder in (workdir, str(tmp_path / "ours"))
        )
        for key in before:
            np.testing.assert_array_equal(after[key], before[key], err_msg=key)
