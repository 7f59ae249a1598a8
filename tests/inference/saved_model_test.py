import json
import os
import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ornet_tf.data import loading
from ornet_tf.inference import localizer, provenance, saved_model, warm_up
from ornet_tf.runs import training_data
from tests import forked_programs
from tests.signatures import SIGNATURES, expect_same

pytestmark = pytest.mark.usefixtures("kept_localizers")


def test_versions_count_up_and_no_partial_folder_is_left(exported, tiny_run):
    base, first = os.path.dirname(exported), int(os.path.basename(exported))
    assert first >= 1
    assert os.path.basename(saved_model.export(*tiny_run)) == str(first + 1)
    assert saved_model.versions(base)[-2:] == [first, first + 1]
    assert sorted(os.listdir(base)) == [str(version) for version in saved_model.versions(base)]


@pytest.fixture(name="unexported")
def _unexported(tiny_run, tmp_path):
    """The configuration and a copy of the workdir that has no exports yet."""
    config, workdir = tiny_run
    shutil.copytree(workdir, tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    return config, str(tmp_path / "run")


@pytest.mark.slow
def test_keep_removes_old_versions_and_nothing_else(unexported, tmp_path):
    base = tmp_path / "run" / "export"
    for name in ("2", "007", "10", "withdrawn-12", "²"):
        (base / name).mkdir(parents=True)
        (base / name / "saved_model.pb").touch()
    (base / "notes").write_text("mine")
    assert os.path.basename(saved_model.export(*unexported, keep=3)) == "11"
    assert sorted(os.listdir(base)) == sorted(["007", "10", "11", "withdrawn-12", "²", "notes"])
    assert saved_model.versions(str(base)) == [7, 10, 11]
    assert os.path.basename(saved_model.export(*unexported, keep=1)) == "12"
    assert saved_model.versions(str(base)) == [12]


def test_keep_must_be_positive(tiny_run):
    for keep in (0, -1):
        with pytest.raises(ValueError, match=f"at least 1 version, got {keep}"):
            saved_model.export(*tiny_run, keep=keep)


@pytest.mark.slow
def test_an_error_while_removing_an_old_version_names_the_new_one(unexported, tmp_path, monkeypatch):
    remove = shutil.rmtree

    def fail(path, *args, **kwargs):
        if "removed-" in str(path):
            raise PermissionError(13, "Permission denied", path)
        remove(path, *args, **kwargs)

    base = tmp_path / "run" / "export"
    (base / "4").mkdir(parents=True)
    monkeypatch.setattr(shutil, "rmtree", fail)
    with pytest.raises(OSError, match="/5 is in place, .*Permission denied"):
        saved_model.export(*unexported, keep=1)
    assert saved_model.versions(str(base)) == [5]


@pytest.mark.slow
def test_the_program_keeps_versions_and_logs_no_input_names(unexported, tmp_path):
    (tmp_path / "run" / "export" / "4").mkdir(parents=True)
    command = ["ornet_tf.export", "--config=tests/tiny_experiment.py", f"--workdir={unexported[1]}"]
    for keep, expected, versions in (("0", 1, ["4"]), ("1", 0, ["5"])):
        ((status, text),) = forked_programs.run([[*command, f"--keep={keep}"]])
        assert (status, os.listdir(tmp_path / "run" / "export")) == (expected, versions), text
    assert "Exported to" in text
    assert "input name" not in text and "retracing" not in text
    assert max(map(len, text.splitlines())) < 500


def test_signatures_are_as_documented(loaded_export):
    signatures = loaded_export.signatures
    assert set(signatures) == set(SIGNATURES)
    for name, (takes, gives) in SIGNATURES.items():
        outputs = signatures[name].structured_outputs
        assert {key: (spec.dtype.name, spec.shape.as_list()) for key, spec in outputs.items()} == gives, name
        ((key, spec),) = signatures[name].structured_input_signature[1].items()
        assert (key, spec.dtype.name, spec.shape.as_list()) == takes, name


@pytest.fixture(scope="module", name="files")
def _files(tiny_run):
    images = list(loading.load_split(tiny_run[0], "test").images)
    return [*images[:3], b"no image", *images[3:]]


def test_all_signatures_give_the_outputs_of_the_localizer(loaded_export, tiny_run, files):
    model = localizer.load(*tiny_run)
    expected = model.localize(tf.constant(files))
    maps = expected.pop("activation_map")
    signatures = loaded_export.signatures
    served = {name: signatures[name](image_bytes=tf.constant(files)) for name in set(SIGNATURES) - {"image_tensor"}}
    expect_same(served["serving_default"], expected)
    expect_same(served["activation_map_float"], {**expected, "activation_map": maps})
    expect_same(served["localize"], {name: expected[name] for name in SIGNATURES["localize"][1]})
    pngs = served["activation_map"].pop("activation_map_bytes")
    expect_same(served["activation_map"], expected)
    rounded = np.rint(np.asarray(served["activation_map_float"]["activation_map"], np.float64) * 255)
    for png, grey in zip(pngs.numpy(), rounded):
        decoded = tf.io.decode_png(png)
        assert decoded.shape == (8, 8, 1)
        np.testing.assert_array_equal(decoded[..., 0], grey)
    pixels = np.stack([tf.io.decode_png(file) for file in files[:3]])
    expect_same(
        signatures["image_tensor"](image_tensor=tf.constant(pixels)),
        {name: value[:3] for name, value in expected.items()},
    )


def run_in_session(path, signature, files):
    """Runs a signature in a session, as TensorFlow Serving does; returns the outputs and the operations that ran."""
    tf1 = tf.compat.v1
    with tf1.Session(graph=tf.Graph()) as session:
        loaded = tf1.saved_model.load(session, ["serve"], path).signature_def[signature]
        trace = tf1.RunMetadata()
        outputs = session.run(
            {name: tensor.name for name, tensor in loaded.outputs.items()},
            {loaded.inputs["image_bytes"].name: files},
            options=tf1.RunOptions(trace_level=tf1.RunOptions.FULL_TRACE),
            run_metadata=trace,
        )
    names = {node.node_name for device in trace.step_stats.dev_stats for node in device.node_stats}
    # TensorFlow merges equal constants, such as axes, under the name of any of them.
    idle = ("ReadVariableOp", "VarHandleOp", "reduction_indices")
    return outputs, {name for name in names if not any(part in name for part in idle)}


def find_parts(operations):
    """Returns the parts of the tiny experiment that ran, such as lower_1, by names of operations."""
    matches = (re.search(r"/((?:lower|generator_map|upper)(?:_\d+)?)/", name) for name in operations)
    return {match.group(1) for match in matches if match}


@pytest.mark.filterwarnings("ignore")  # sessions are deprecated
def test_a_session_gives_the_same_outputs_and_localize_does_not_run_the_evaluator(exported, loaded_export, files):
    """TensorFlow Serving restores variables by name, not as Python objects."""
    outputs, operations = run_in_session(exported, "serving_default", files)
    boxes, box_operations = run_in_session(exported, "localize", files)
    expected = loaded_export.signatures["serving_default"](image_bytes=tf.constant(files))
    expect_same(outputs, expected)
    expect_same(boxes, {name: expected[name] for name in boxes})
    parts, box_parts = (
        sorted(re.sub(r"_\d+", "", part) for part in find_parts(names)) for names in (operations, box_operations)
    )
    assert set(parts) == {"generator_map", "lower", "upper"}
    assert box_parts == ["generator_map", "lower"]  # each once: the evaluator's lower layers do not run either


def test_each_variable_is_saved_once(exported):
    saved = saved_model_pb2.SavedModel.FromString((pathlib.Path(exported) / "saved_model.pb").read_bytes())
    handles = [node.attr["shared_name"].s for node in saved.meta_graphs[0].graph_def.node if node.op == "VarHandleOp"]
    stored = [name for name, _ in tf.train.list_variables(os.path.join(exported, "variables", "variables"))]
    weights = [name for name in stored if not name.startswith("_CHECKPOINTABLE")]
    assert 0 < len(set(handles)) == len(handles) <= len(weights) + 1  # one is the save counter


def test_provenance_and_warm_up_requests_lie_beside_the_graph(exported, tiny_run):
    config, _ = tiny_run
    facts = json.loads((pathlib.Path(exported) / "assets" / provenance.FILE).read_text(encoding="utf-8"))
    assert (facts["threshold"], facts["box_rule"], facts["row"]) == (0.5, "tight", "stage_two")
    assert facts["data"]["class_names"] == training_data.class_names(tiny_run[1])
    assert facts["config"]["input"]["crop"] == config.input.crop
    assert (pathlib.Path(exported) / warm_up.PATH).stat().st_size > 0


def test_class_names_are_part_of_the_graph(exported, loaded_export, tiny_run, files, tmp_path):
    before = loaded_export.signatures["serving_default"](image_bytes=tf.constant(files))
    shutil.copytree(exported, tmp_path / "alone")
    os.rename(tiny_run[1], tmp_path / "away")  # an export must not read the run
    try:
        alone = tf.saved_model.load(str(tmp_path / "alone"))
        after = alone.signatures["serving_default"](image_bytes=tf.constant(files))
    finally:
        os.rename(tmp_path / "away", tiny_run[1])
    expect_same(after, before)
    assert set(after["detection_class_names"].numpy().ravel()) - {b""}


def test_only_stock_ops_are_used(exported):
    saved = saved_model_pb2.SavedModel.FromString((pathlib.Path(exported) / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    used = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
    assert {"DecodeJpeg", "Conv2D"} <= used
    assert not used & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}
    assert not {op for op in used if op.startswith("Addons")}


@pytest.mark.slow
def test_a_failed_export_removes_no_version(unexported, tmp_path, monkeypatch):
    for version in ("1", "2"):  # keep=1 must not remove the older one
        (tmp_path / "run" / "export" / version).mkdir(parents=True)

    def fail(*_args, **_kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="could not be written to .*No space left on device"):
        saved_model.export(*unexported, keep=1)
    assert sorted(os.listdir(tmp_path / "run" / "export")) == ["1", "2"]
