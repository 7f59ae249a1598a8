import pytest

from ornet_tf import assemble, checkpoints, training_data
from ornet_tf.compat import keras
from tests import tiny_experiment


def test_a_run_is_bound_to_its_data_once_it_has_learned_from_it(tmp_path):
    full = assemble.load_source(tiny_experiment.get_config(), "train")
    smaller = full.select(range(40))
    training_data.claim(str(tmp_path), full, ["evaluator"])
    training_data.claim(str(tmp_path), smaller, ["evaluator"])  # nothing learned yet
    folder = str(tmp_path / "evaluator")
    checkpoints.PhaseCheckpoints(folder, {"part": keras.Sequential([keras.Input([1])])}, [], keep=1).save(1)
    training_data.claim(str(tmp_path), smaller, ["evaluator"])
    with pytest.raises(ValueError, match=r"has changed .*\(40 pictures of 3 classes then, 48 of 3 now"):
        training_data.claim(str(tmp_path), full, ["evaluator"])
