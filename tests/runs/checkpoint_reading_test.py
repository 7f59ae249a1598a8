import pytest

from ornet_tf.errors import UserError
from ornet_tf.runs import checkpoint_reading, checkpoints
from tests.runs.checkpoints_test import part, phase, truncate


def test_a_checkpoint_without_a_part_is_refused(tmp_path):
    saved, _ = phase(tmp_path, {"lower": part(), "upper": part(4)})
    saved.save(1)
    path = checkpoints.latest_checkpoint(str(tmp_path))
    checkpoint_reading.check_parts({"upper": part(4)}, path)
    message = "has no part 'direction'; it has lower, upper"
    with pytest.raises(UserError, match=message):
        checkpoint_reading.check_parts({"lower": part(), "direction": part()}, path)
    with pytest.raises(UserError, match=message):  # when the phase is resumed
        phase(tmp_path, {"lower": part(), "upper": part(4), "direction": part()})[0].restore()


def test_a_damaged_index_is_reported(tmp_path):
    phase(tmp_path, {"lower": part()})[0].save(1)
    truncate(tmp_path / "checkpoints" / "step-1.index")
    with pytest.raises(checkpoint_reading.DamagedCheckpointError, match="step-1 is damaged"):
        checkpoint_reading.check_parts({"lower": part()}, checkpoints.latest_checkpoint(str(tmp_path)))
