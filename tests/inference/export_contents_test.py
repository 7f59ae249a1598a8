"""What an export holds, and what it answers where there is nothing to look at."""
import base64
import os

import numpy as np
import pytest
import tensorflow as tf

import ornet_tf
from ornet_tf import build
from ornet_tf.data import loading
from ornet_tf.inference import localizer, saved_model
from serving import client, local_server
from tests import tiny_prior_run
from tests.signatures import PIXELS, SIGNATURES, expect_same


@pytest.fixture(scope="module")
def exported(tiny_run):
    return saved_model.export(*tiny_run)


@pytest.fixture(scope="module", name="files")
def _files(tiny_run):
    return [*loading.load_split(tiny_run[0], "test").images[:5], b"no image"]


def captured(signatures):
    """Returns the variables' handles that signatures read."""
    return {id(tensor) for function in signatures for tensor in function.captured_inputs if tensor.dtype == tf.resource}


def stored(path):
    """Returns the names of the variables that a SavedModel holds."""
    names = [name for name, _ in tf.train.list_variables(os.path.join(path, "variables", "variables"))]
    return [name for name in names if not name.startswith(("_CHECKPOINTABLE", "save_counter"))]


@pytest.mark.parametrize("row", tiny_prior_run.STAGES)
def test_an_export_has_the_same_boxes_and_no_object_prior(tiny_run, files, tmp_path, row):
    config = tiny_prior_run.write(tiny_run[1], str(tmp_path / "run"))
    config.export.row = row
    path = saved_model.export(config, str(tmp_path / "run"))
    model, in_memory = tf.saved_model.load(path), localizer.load(config, str(tmp_path / "run"))
    served = model.signatures["activation_map_float"](image_bytes=tf.constant(files))
    expect_same(served, in_memory.localize(tf.constant(files)))
    assert "direction" in build.trained_method(config, row, str(tmp_path / "run"), 3).parts
    assert len(stored(path)) == len(captured(model.signatures.values())) > 10


def test_no_variable_is_saved_that_no_signature_reads(exported, tiny_run):
    model = tf.saved_model.load(exported)  # which the signatures refer to only weakly
    assert len(stored(exported)) == len(captured(model.signatures.values()))
    weights = localizer.load(*tiny_run)._weights
    kept = sum(weight.shape.num_elements() * weight.dtype.size for weight in weights)
    held = os.path.getsize(os.path.join(exported, "variables", "variables.data-00000-of-00001"))
    assert kept <= held < kept + 30_000  # the rest is what TensorFlow notes of the objects


def test_no_image_gives_no_rows_of_each_output(exported):
    signatures = tf.saved_model.load(exported).signatures
    pixels = np.zeros([0, 20, 30, 3], np.uint8)
    for name, (takes, gives) in SIGNATURES.items():
        nothing = tf.constant(pixels) if takes == PIXELS else tf.constant([], tf.string)
        outputs = signatures[name](**{takes[0]: nothing})
        found = {key: (value.dtype.name, value.shape.as_list()) for key, value in outputs.items()}
        assert found == {key: (dtype, [0, *shape[1:]]) for key, (dtype, shape) in gives.items()}, name


def test_no_image_is_answered_without_and_behind_a_server(exported, http, files):
    assert ornet_tf.load(exported).localize([]) == []
    with local_server.running(os.path.dirname(exported), "ornet") as url:
        assert client.localize(url, []) == []
        for name, (takes, gives) in SIGNATURES.items():
            if takes == PIXELS:  # a list without elements has not the rank that pixels have
                continue
            reply = http.post(f"{url}:predict", json={"signature_name": name, "inputs": []})
            assert (reply.status_code, reply.json()) == (200, {"outputs": dict.fromkeys(gives, [])})
        reply = http.post(f"{url}:predict", json={"instances": []})
        assert reply.status_code == 400
        sent = [{"b64": base64.b64encode(file).decode()} for file in files]
        reply = http.post(f"{url}:predict", json={"inputs": sent})
        assert len(reply.json()["outputs"]["status"]) == len(files)
