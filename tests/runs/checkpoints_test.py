import gc
import os

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import atomic_write
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models.variables import named_variables
from ornet_tf.runs import checkpoints, run_folder
from ornet_tf.training.optimizers import make_optimizers, make_schedule
from tests import forked_programs


def part(units=2):
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(units, name="dense")(inputs))


def phase(folder, parts, keep=2):
    optimizers = make_optimizers(named_variables(parts), schedule=make_schedule(0.1, "constant", 0, 1))
    saved = checkpoints.PhaseCheckpoints(str(folder), parts, [o for o, _ in optimizers], keep=keep)
    return saved, optimizers


def step(optimizers):
    for optimizer, members in optimizers:
        optimizer.apply_gradients([(tf.ones_like(tf.convert_to_tensor(v)), v) for v in members])


def weights(model):
    return model.get_weights()


def test_without_a_checkpoint_the_step_is_zero(tmp_path):
    saved, _ = phase(tmp_path, {"lower": part()})
    assert saved.restore() == (0, None)
    assert checkpoints.latest_checkpoint(str(tmp_path)) is None


def test_weights_optimizer_and_step_are_restored(tmp_path):
    first = part()
    saved, optimizers = phase(tmp_path, {"lower": first})
    step(optimizers)
    saved.save(7, {"rows": [[0.1, 2.0]]})
    step(optimizers)
    after_one_more = weights(first)

    second = part()
    saved, optimizers = phase(tmp_path, {"lower": second})
    assert saved.restore() == (7, {"rows": [[0.1, 2.0]]})
    step(optimizers)  # equal only if Adam's moments were restored too
    for expected, actual in zip(after_one_more, weights(second)):
        np.testing.assert_array_equal(expected, actual)


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    saved, _ = phase(tmp_path, {"lower": part()}, keep=2)
    for number in (1, 2, 3):
        saved.save(number)
    indexes = sorted(n for n in os.listdir(tmp_path / "checkpoints") if n.endswith(".index"))
    assert indexes == ["step-2.index", "step-3.index"]
    assert checkpoints.latest_checkpoint(str(tmp_path)).endswith("step-3")


def truncate(path):
    path.write_bytes(path.read_bytes()[:10])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


def test_a_killed_save_leaves_no_checkpoint(tmp_path, monkeypatch):
    saved, _ = phase(tmp_path, {"lower": part()})
    replaced = []

    def kill(aside, path):
        if path.endswith(".index"):
            raise KeyboardInterrupt
        replaced.append(path)
        os.replace(aside, path)

    monkeypatch.setattr(atomic_write, "replace_file", kill)
    with pytest.raises(KeyboardInterrupt):
        saved.save(4)
    monkeypatch.undo()
    assert len(replaced) == 1
    assert saved.restore() == (0, None)
    saved.save(5)
    assert {name.split(".")[0] for name in os.listdir(tmp_path / "checkpoints")} == {"step-5"}


@pytest.mark.parametrize("damage", [truncate, flip_a_bit])
@pytest.mark.parametrize("kind", ["index", "data-00000-of-00001"])
def test_a_damaged_checkpoint_is_reported_and_the_previous_one_is_used(tmp_path, caplog, damage, kind):
    first = part()
    saved, optimizers = phase(tmp_path, {"lower": first})
    step(optimizers)
    saved.save(3, "third")
    before = weights(first)
    step(optimizers)
    saved.save(5, "fifth")
    damage(tmp_path / "checkpoints" / f"step-5.{kind}")
    second = part()
    saved, _ = phase(tmp_path, {"lower": second})
    with caplog.at_level("WARNING"):
        assert saved.restore() == (3, "third")
    assert f"{tmp_path}/checkpoints/step-5 is damaged" in caplog.text
    assert f"resumes from {tmp_path}/checkpoints/step-3" in caplog.text
    for expected, actual in zip(before, weights(second)):
        np.testing.assert_array_equal(expected, actual)
    saved.save(5, "again")
    assert phase(tmp_path, {"lower": part()})[0].restore() == (5, "again")


def test_if_all_checkpoints_are_damaged_training_does_not_start_over(tmp_path):
    saved, _ = phase(tmp_path, {"lower": part()})
    for number in (3, 5):
        saved.save(number)
        truncate(tmp_path / "checkpoints" / f"step-{number}.data-00000-of-00001")
    with pytest.raises(ValueError, match=r"All checkpoints of .* are damaged \(step-5, step-3\)"):
        phase(tmp_path, {"lower": part()})[0].restore()


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    phase(tmp_path, {"lower": part()})[0].save(5)
    with pytest.raises(ValueError, match="has no part 'upper'; it has lower"):
        phase(tmp_path, {"lower": part(), "upper": part()})[0].restore()


def test_files_without_an_index_are_not_a_checkpoint(tmp_path):
    saved, _ = phase(tmp_path, {"lower": part()})
    saved.save(5)
    (tmp_path / "checkpoints" / "step-7.data-00000-of-00001").write_bytes(b"half")
    assert checkpoints.latest_checkpoint(str(tmp_path)).endswith("step-5")
    assert phase(tmp_path, {"lower": part()})[0].restore() == (5, None)


@pytest.mark.parametrize("keep", [1, 2])
def test_a_save_keeps_older_checkpoints_and_removes_damaged_later_ones(tmp_path, keep):
    saved, _ = phase(tmp_path, {"lower": part()}, keep=2)
    saved.save(500)
    saved.save(537)
    truncate(tmp_path / "checkpoints" / "step-537.data-00000-of-00001")
    (tmp_path / "checkpoints" / "step-511.data-00000-of-00001").write_bytes(b"half")
    (tmp_path / "checkpoints" / "partial.index").write_bytes(b"")
    (tmp_path / "checkpoints" / "step-512_temp").mkdir()
    (tmp_path / "checkpoints" / "step-512_temp" / "part").write_bytes(b"half")
    saved, _ = phase(tmp_path, {"lower": part()}, keep=keep)
    assert saved.restore() == (500, None)
    saved.save(520)
    left = {name.split(".")[0] for name in os.listdir(tmp_path / "checkpoints")}
    assert left == {"step-500", "step-520"} if keep == 2 else {"step-520"}
    assert phase(tmp_path, {"lower": part()})[0].restore() == (520, None)


@pytest.mark.slow
def test_a_full_disk_is_reported_and_earlier_checkpoints_stay(tmp_path):
    program = f"""
        import resource, signal
        from tests.runs.checkpoints_test import part, phase
        saved, _ = phase({str(tmp_path)!r}, {{"lower": part(400)}})
        saved.save(5)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            saved.save(7)
        except OSError as error:
            print("message:", error)
    """
    status, text = forked_programs.run_source(program)
    assert status == 0 and "message: The checkpoint of step 7 could not be written to" in text
    assert "the checkpoints before it are intact" in text
    assert sorted(name.split(".")[0] for name in os.listdir(tmp_path / "checkpoints")) == ["step-5", "step-5"]
    assert phase(tmp_path, {"lower": part(400)})[0].restore() == (5, None)


def test_a_process_that_is_not_the_chief_leaves_no_files(tmp_path):
    parts = {"lower": part()}
    optimizers = make_optimizers(named_variables(parts), schedule=0.1)
    checkpoints.PhaseCheckpoints(str(tmp_path), parts, [o for o, _ in optimizers], keep=1, is_chief=False).save(3)
    assert not os.listdir(tmp_path)


def test_parts_are_loaded_under_other_names_and_several_from_one_source(tmp_path):
    trained = {"lower": part(), "upper": part(4)}
    phase(tmp_path / "evaluator", trained)[0].save(1)
    run_folder.mark_finished(str(tmp_path / "evaluator"), steps=1)
    loaded = {"lower": part(), "evaluator_lower": part(), "third": part(), "upper": part(4)}
    sources = {**dict.fromkeys(("lower", "evaluator_lower", "third"), "evaluator.lower"), "upper": "evaluator.upper"}
    checkpoints.load_parts(loaded, sources, str(tmp_path))
    for name, source in sources.items():
        for expected, actual in zip(weights(trained[source.split(".")[1]]), weights(loaded[name])):
            np.testing.assert_array_equal(expected, actual)


def test_parts_that_cannot_be_loaded_are_refused(tmp_path):
    saved, _ = phase(tmp_path / "evaluator", {"lower": part()})
    saved.save(1)
    with pytest.raises(ValueError, match="Phase 'evaluator' is not finished"):
        checkpoints.load_parts({"lower": part()}, {"lower": "evaluator.lower"}, str(tmp_path))
    run_folder.mark_finished(str(tmp_path / "evaluator"), steps=1)
    with pytest.raises(ValueError, match="Phase 'stage_one' is not finished"):
        checkpoints.load_parts({"lower": part()}, {"lower": "stage_one.lower"}, str(tmp_path))
    with pytest.raises(UserError, match="evaluator has no part 'direction'; it has lower"):
        checkpoints.load_parts({"direction": part()}, {"direction": "evaluator.direction"}, str(tmp_path))
    with pytest.raises(ValueError, match="no part 'lowr'; this method's parts are lower"):
        checkpoints.load_parts({"lower": part()}, {"lowr": "evaluator.lower"}, str(tmp_path))
    with pytest.raises(ValueError, match="does not fit the model"):
        checkpoints.load_parts({"lower": part(9)}, {"lower": "evaluator.lower"}, str(tmp_path))
    truncate(tmp_path / "evaluator" / "checkpoints" / "step-1.data-00000-of-00001")
    with pytest.raises(ValueError, match="step-1 is damaged .* remove it together with .*evaluator/finished.json"):
        checkpoints.load_parts({"lower": part()}, {"lower": "evaluator.lower"}, str(tmp_path))


def test_tensorflow_does_not_warn_about_unread_values_of_a_checkpoint(tmp_path, caplog):
    saved, _ = phase(tmp_path / "evaluator", {"lower": part()})
    saved.save(1)
    run_folder.mark_finished(str(tmp_path / "evaluator"), steps=1)
    with caplog.at_level("WARNING"):
        with pytest.raises(ValueError, match="does not fit the model"):
            checkpoints.load_parts({"lower": part(9)}, {"lower": "evaluator.lower"}, str(tmp_path))
        truncate(tmp_path / "evaluator" / "checkpoints" / "step-1.data-00000-of-00001")
        with pytest.raises(ValueError, match="step-1 is damaged"):
            checkpoints.load_parts({"lower": part()}, {"lower": "evaluator.lower"}, str(tmp_path))
        gc.collect()  # would trigger TensorFlow's warnings
    assert caplog.text == ""


def test_if_a_checkpoint_is_removed_the_previous_one_is_used(tmp_path):
    saved, _ = phase(tmp_path, {"lower": part()})
    saved.save(1)
    saved.save(2)
    for path in (tmp_path / "checkpoints").glob("step-2.*"):
        path.unlink()
    saved, _ = phase(tmp_path, {"lower": part()})
    assert saved.restore() == (1, None)
