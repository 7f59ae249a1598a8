"""The variables of an export, and its outputs for empty batches."""
import base64
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

import ornet_tf
from ornet_tf import build
from ornet_tf.data import loading
from ornet_tf.inference import localizer, provenance, saved_model
from ornet_tf.models import winograd
from ornet_tf.models.variables import named_variables
from serving import client, local_server
from tests import tiny_prior_run
from tests.signatures import PIXELS, SIGNATURES, expect_same

pytestmark = pytest.mark.usefixtures("kept_localizers")


@pytest.fixture(scope="module", name="files")
def _files(tiny_run):
    return [*loading.load_split(tiny_run[0], "test").images[:5], b"no image"]


def variables_read(signatures):
    """Returns the ids of the variable handles that signatures read."""
    return {id(tensor) for function in signatures for tensor in function.captured_inputs if tensor.dtype == tf.resource}


def variables_saved(path):
    """Returns name -> shape of the variables in a SavedModel."""
    shapes = dict(tf.train.list_variables(os.path.join(path, "variables", "variables")))
    return {name: shape for name, shape in shapes.items() if not name.startswith(("_CHECKPOINTABLE", "save_counter"))}


def test_equal_parts_are_saved_once_and_unused_ones_not_at_all(tiny_run, files, tmp_path):
    config = tiny_prior_run.write(tiny_run[1], str(tmp_path / "run"))
    path = saved_model.export(config, str(tmp_path / "run"))
    model, in_memory = tf.saved_model.load(path), localizer.load(config, str(tmp_path / "run"))
    served = model.signatures["activation_map_float"](image_bytes=tf.constant(files))
    expect_same(served, in_memory.localize(tf.constant(files)))

    method = build.trained_method(config, "stage_two", str(tmp_path / "run"), 3)
    batch = next(iter(loading.evaluation_batches(config, loading.load_split(config, "test").select(range(5)))))
    expected = method.predict(batch["image"])  # here both lower parts run
    np.testing.assert_allclose(served["activation_map"][:5], expected["activation_map"][..., 0], atol=1e-5)
    scores = tf.reduce_max(tf.nn.softmax(expected["logits"]), axis=-1)
    np.testing.assert_allclose(served["detection_scores"][:5, 0], scores, atol=1e-5)

    assert {*method.parts} == {"lower", "generator", "evaluator_lower", "evaluator_upper", "direction"}
    parts = {name: method.parts[name] for name in ("lower", "evaluator_upper", "generator", "direction")}
    weights = named_variables(parts, trainable_only=False)
    needed = sorted(tuple(weight.shape) for name, weight in weights.items() if "auxiliary" not in name)
    assert sorted(tuple(shape) for shape in variables_saved(path).values()) == needed
    assert len(variables_read(model.signatures.values())) == len(needed)


def test_only_variables_that_a_signature_reads_are_saved(exported, loaded_export, tiny_run):
    assert len(variables_saved(exported)) == len(variables_read(loaded_export.signatures.values()))
    weights = localizer.load(*tiny_run)._weights
    expected = sum(weight.shape.num_elements() * weight.dtype.size for weight in weights)
    actual = os.path.getsize(os.path.join(exported, "variables", "variables.data-00000-of-00001"))
    assert expected <= actual < expected + 30_000  # the rest is TensorFlow's record of the objects


@pytest.mark.slow
def test_an_export_for_cpus_holds_mapped_kernels_instead_of_kernels(
    exported, loaded_export, tiny_run, files, tmp_path, monkeypatch
):
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 6)
    monkeypatch.setattr(winograd, "MIN_TILES", 1)
    config = tiny_run[0].copy_and_resolve_references()
    config.export.optimize_for = "cpu"
    shutil.copytree(tiny_run[1], tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    path = saved_model.export(config, str(tmp_path / "run"))
    model = tf.saved_model.load(path)
    for name in ("activation_map_float", "localize"):  # the others call the function of the first
        expected, actual = (m.signatures[name](image_bytes=tf.constant(files)) for m in (loaded_export, model))
        expect_same(actual, expected)
    shapes, plain = variables_saved(path).values(), variables_saved(exported).values()
    kernels = [shape for shape in plain if len(shape) == 4 and min(shape[2:]) >= 6]
    assert sorted(shape for shape in shapes if shape[0] == 36) == sorted([36, 1, *shape[2:]] for shape in kernels)
    assert sorted(shape for shape in shapes if shape[0] != 36) == sorted(s for s in plain if s not in kernels)
    assert len(shapes) == len(variables_read(model.signatures.values()))
    config.export.optimize_for = "gpu"
    unmapped = localizer.load(config, tiny_run[1], for_cpu=provenance.device_to_optimize_for(config) == "cpu")
    assert sorted(weight.shape.as_list() for weight in unmapped._weights) == sorted(plain)


def test_an_empty_batch_gives_outputs_without_rows(loaded_export):
    signatures = loaded_export.signatures
    pixels = np.zeros([0, 20, 30, 3], np.uint8)
    for name, (takes, gives) in SIGNATURES.items():
        empty = tf.constant(pixels) if takes == PIXELS else tf.constant([], tf.string)
        outputs = signatures[name](**{takes[0]: empty})
        actual = {key: (value.dtype.name, value.shape.as_list()) for key, value in outputs.items()}
        assert actual == {key: (dtype, [0, *shape[1:]]) for key, (dtype, shape) in gives.items()}, name


@pytest.mark.slow
def test_an_empty_batch_is_answered_with_and_without_a_server(exported, http, files):
    assert ornet_tf.load(exported).localize([]) == []
    with local_server.running(os.path.dirname(exported), "ornet") as url:
        assert client.localize(url, []) == []
        for name, (takes, gives) in SIGNATURES.items():
            if takes == PIXELS:  # an empty list does not have the rank of pixels
                continue
            reply = http.post(f"{url}:predict", json={"signature_name": name, "inputs": []})
            assert (reply.status_code, reply.json()) == (200, {"outputs": dict.fromkeys(gives, [])})
        reply = http.post(f"{url}:predict", json={"instances": []})
        assert reply.status_code == 400
        sent = [{"b64": base64.b64encode(file).decode()} for file in files]
        reply = http.post(f"{url}:predict", json={"inputs": sent})
        assert len(reply.json()["outputs"]["status"]) == len(files)
