import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import assemble, export, localizer

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def exported(tiny_run):
    return export.export(*tiny_run)


def test_versions_count_up_and_nothing_half_done_is_left(exported, tiny_run):
    base, first = os.path.dirname(exported), int(os.path.basename(exported))
    assert first >= 1
    assert os.path.basename(export.export(*tiny_run)) == str(first + 1)
    assert export.versions(base)[-2:] == [first, first + 1]
    assert sorted(os.listdir(base)) == [str(version) for version in export.versions(base)]


@pytest.fixture(name="unexported")
def _unexported(tiny_run, tmp_path):
    """The configuration and a copy of the workdir that has no exports yet."""
    config, workdir = tiny_run
    shutil.copytree(workdir, tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    return config, str(tmp_path / "run")


def test_old_versions_go_and_whatever_is_no_version_stays(unexported, tmp_path):
    base = tmp_path / "run" / "export"
    for name in ("2", "007", "10", "withdrawn-12", "²"):
        (base / name).mkdir(parents=True)
        (base / name / "saved_model.pb").touch()
    (base / "notes").write_text("mine")
    assert os.path.basename(export.export(*unexported, keep=3)) == "11"
    assert sorted(os.listdir(base)) == sorted(["007", "10", "11", "withdrawn-12", "²", "notes"])
    assert export.versions(str(base)) == [7, 10, 11]
    assert os.path.basename(export.export(*unexported)) == "12"
    assert export.versions(str(base)) == [7, 10, 11, 12]
    assert os.path.basename(export.export(*unexported, keep=1)) == "13"
    assert export.versions(str(base)) == [13]


def test_the_newest_version_is_never_removed(tiny_run):
    for keep in (0, -1):
        with pytest.raises(ValueError, match=f"Expected to keep at least 1 version, got {keep}"):
            export.export(*tiny_run, keep=keep)


def test_a_version_that_cannot_be_removed_does_not_hide_that_the_new_one_is_there(unexported, tmp_path, monkeypatch):
    remove = shutil.rmtree

    def fail(path, *args, **kwargs):
        if "removed-" in str(path):
            raise PermissionError(13, "Permission denied", path)
        remove(path, *args, **kwargs)

    base = tmp_path / "run" / "export"
    (base / "4").mkdir(parents=True)
    monkeypatch.setattr(shutil, "rmtree", fail)
    with pytest.raises(OSError, match="/5 is in place, but an older version could not be removed: .*Permission denied"):
        export.export(*unexported, keep=1)
    assert export.versions(str(base)) == [5]


@pytest.mark.slow
def test_the_program_keeps_as_many_as_it_is_told(unexported, tmp_path):
    (tmp_path / "run" / "export" / "4").mkdir(parents=True)
    command = [sys.executable, "-m", "ornet_tf.export", "--config=tests/tiny_experiment.py"]
    for keep, status, left in (("0", 1, ["4"]), ("1", 0, ["5"])):
        arguments = [f"--workdir={unexported[1]}", f"--keep={keep}"]
        done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, os.listdir(tmp_path / "run" / "export")) == (status, left), done.stderr


def test_signatures_are_as_documented(exported):
    signatures = tf.saved_model.load(exported).signatures
    assert set(signatures) == {"serving_default", "activation_map"}
    outputs = signatures["serving_default"].structured_outputs
    assert {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in outputs.items()} == {
        "detection_boxes": ("float32", [None, 1, 4]),
        "detection_scores": ("float32", [None, 1]),
        "detection_classes": ("int64", [None, 1]),
        "detection_class_names": ("string", [None, 1]),
    }
    (name, spec), = signatures["serving_default"].structured_input_signature[1].items()
    assert (name, spec.dtype, spec.shape.as_list()) == ("image_bytes", tf.string, [None])
    assert "activation_map" in signatures["activation_map"].structured_outputs


def test_the_export_answers_what_prediction_answers(exported, tiny_run):
    config, _ = tiny_run
    encoded = tf.constant(list(assemble.load_split(config, "test").images))
    model = localizer.load(*tiny_run)
    expected = model.localize(encoded)
    served = tf.saved_model.load(exported).signatures["activation_map"](image_bytes=encoded)
    for name, value in expected.items():
        if value.dtype.is_floating:
            np.testing.assert_allclose(served[name], value, atol=1e-5)
        else:
            np.testing.assert_array_equal(served[name], value)


def test_only_stock_ops_are_used(exported):
    graph = tf.saved_model.load(exported).signatures["activation_map"].graph.as_graph_def()
    used = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
    assert not used & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}
    assert not {op for op in used if op.startswith("Addons")}


def test_a_failed_export_leaves_the_versions_that_are_there(exported, tiny_run, monkeypatch):
    base = os.path.dirname(exported)
    export.export(*tiny_run)  # so that there is an older one, which --keep=1 must not take
    before = sorted(os.listdir(base))

    def fail(*_args, **_kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="could not be written to .*No space left on device"):
        export.export(*tiny_run, keep=1)
    assert sorted(os.listdir(base)) == before
