import json
import os

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import checkpoints
from ornet_tf.compat import keras
from ornet_tf.methods import named_variables
from ornet_tf.optimizers import make_optimizers, make_schedule


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
    assert saved.restore() == 0
    assert checkpoints.latest(str(tmp_path)) is None


def test_weights_optimiser_and_step_come_back(tmp_path):
    first = part()
    saved, optimizers = phase(tmp_path, {"lower": first})
    step(optimizers)
    saved.save(7)
    step(optimizers)
    after_one_more = weights(first)

    second = part()
    saved, optimizers = phase(tmp_path, {"lower": second})
    assert saved.restore() == 7
    step(optimizers)  # equal only if Adam's moments came back too
    for expected, actual in zip(after_one_more, weights(second)):
        np.testing.assert_array_equal(expected, actual)


def test_only_the_newest_are_kept(tmp_path):
    saved, _ = phase(tmp_path, {"lower": part()}, keep=2)
    for number in (1, 2, 3):
        saved.save(number)
    indexes = sorted(n for n in os.listdir(tmp_path / "checkpoints") if n.endswith(".index"))
    assert indexes == ["step-2.index", "step-3.index"]
    assert checkpoints.latest(str(tmp_path)).endswith("step-3")


def test_a_truncated_checkpoint_is_named(tmp_path):
    saved, _ = phase(tmp_path, {"lower": part()})
    saved.save(5)
    data = next((tmp_path / "checkpoints").glob("step-5.data*"))
    data.write_bytes(data.read_bytes()[:10])
    saved, _ = phase(tmp_path, {"lower": part()})
    with pytest.raises(ValueError, match="step-5 can't be restored: it is damaged or lacks what was asked for"):
        saved.restore()


def test_parts_are_handed_to_a_later_phase_under_another_name(tmp_path):
    trained = {"lower": part(), "upper": part(4)}
    saved, _ = phase(tmp_path / "evaluator", trained)
    saved.save(1)
    checkpoints.finish(str(tmp_path / "evaluator"), steps=1)
    heirs = {"evaluator_upper": part(4), "generator": part()}
    checkpoints.load_parts(heirs, {"evaluator_upper": "evaluator.upper"}, str(tmp_path))
    for expected, actual in zip(weights(trained["upper"]), weights(heirs["evaluator_upper"])):
        np.testing.assert_array_equal(expected, actual)


def test_what_cannot_be_handed_over_is_said(tmp_path):
    saved, _ = phase(tmp_path / "evaluator", {"lower": part()})
    saved.save(1)
    with pytest.raises(ValueError, match="Phase 'evaluator' is not finished"):
        checkpoints.load_parts({"lower": part()}, {"lower": "evaluator.lower"}, str(tmp_path))
    checkpoints.finish(str(tmp_path / "evaluator"), steps=1)
    with pytest.raises(ValueError, match="Phase 'stage_one' is not finished"):
        checkpoints.load_parts({"lower": part()}, {"lower": "stage_one.lower"}, str(tmp_path))
    with pytest.raises(ValueError, match="can't be restored.*lacks what was asked for"):
        checkpoints.load_parts({"lower": part()}, {"lower": "evaluator.upper"}, str(tmp_path))
    with pytest.raises(ValueError, match="no part 'lowr'; this method's parts are lower"):
        checkpoints.load_parts({"lower": part()}, {"lowr": "evaluator.lower"}, str(tmp_path))
    with pytest.raises(ValueError, match="can't be restored.*lacks what was asked for"):
        checkpoints.load_parts({"lower": part(9)}, {"lower": "evaluator.lower"}, str(tmp_path))


def test_a_removed_checkpoint_leaves_the_one_before(tmp_path):
    saved, _ = phase(tmp_path, {"lower": part()})
    saved.save(1)
    saved.save(2)
    for path in (tmp_path / "checkpoints").glob("step-2.*"):
        path.unlink()
    saved, _ = phase(tmp_path, {"lower": part()})
    assert saved.restore() == 1


def test_other_settings_are_refused_and_listed_once_something_was_learned(tmp_path):
    folder = str(tmp_path / "phase")
    checkpoints.claim(folder, {"seed": 5})
    checkpoints.claim(folder, {"seed": 0, "phase": {"epochs": 2.0, "pairs": (1, 2)}})
    phase(folder, {"lower": part()})[0].save(1)
    checkpoints.claim(folder, {"seed": 0, "phase": {"epochs": 2.0, "pairs": (1, 2)}})
    message = "other settings: phase.epochs was 2.0, now 3.0; seed was 0, now 1. Use another"
    with pytest.raises(ValueError, match=message):
        checkpoints.claim(folder, {"seed": 1, "phase": {"epochs": 3.0, "pairs": (1, 2)}})


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "result.json"
    checkpoints.write_json(str(path), {"a": 1})
    with pytest.raises(ValueError):
        checkpoints.write_json(str(path), loop())
    assert json.loads(path.read_text()) == {"a": 1}


def loop():
    endless = {}
    endless["self"] = endless
    return endless
