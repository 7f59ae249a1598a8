"""TensorBoard and metrics.jsonl of a run that was interrupted show what those of an uninterrupted one do."""
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tests import source_tree
from tests.training import tensorboard_readers
from tests.training.summaries_test import write


def test_a_run_that_goes_on_has_the_series_of_one_that_was_not_interrupted(tmp_path):
    write(tmp_path / "whole", range(1, 9))
    folder = tmp_path / "run"
    write(folder, range(1, 6))
    torn, = (folder / "tensorboard").iterdir()
    torn.write_bytes(torn.read_bytes()[:-7])
    with open(folder / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 6, "lo')
    write(folder, range(4, 6), first_step=3)  # interrupted again
    write(folder, range(5, 9), first_step=4)
    expected = tensorboard_readers.digests(tmp_path / "whole" / "tensorboard")
    assert tensorboard_readers.digests(folder / "tensorboard") == expected
    assert len(expected["activation_map"]) == 8
    expected = {"loss": [(step, 1 / step) for step in range(1, 9)], "loss/area": [(step, step) for step in range(1, 9)]}
    assert tensorboard_readers.scalars_of_data_server(folder / "tensorboard") == {
        tag: [(step, np.float32(value)) for step, value in values] for tag, values in expected.items()
    }
    assert (folder / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()


def test_a_run_goes_on_after_files_of_a_clock_that_was_ahead(tmp_path):
    write(tmp_path / "whole", range(1, 7))
    folder = tmp_path / "run"
    for number, (steps, first_step) in enumerate([(range(1, 5), 0), (range(4, 6), 3)]):
        write(folder, steps, first_step)
        path = max((folder / "tensorboard").iterdir())
        name = path.name.split(".", 4)
        path.rename(path.with_name(".".join([*name[:3], str(4000000000 + number), name[4]])))
    write(folder, [5], first_step=4)
    write(folder, [6], first_step=5)
    expected = tensorboard_readers.digests(tmp_path / "whole" / "tensorboard")
    assert tensorboard_readers.digests(folder / "tensorboard") == expected


def test_a_run_without_a_checkpoint_begins_anew(tmp_path):
    write(tmp_path / "whole", range(1, 4))
    write(tmp_path / "again", range(1, 3))
    write(tmp_path / "again", range(1, 4))
    expected = tensorboard_readers.digests(tmp_path / "whole" / "tensorboard")
    assert tensorboard_readers.digests(tmp_path / "again" / "tensorboard") == expected
    assert (tmp_path / "again" / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("moment", [5, 38])
def test_a_run_killed_while_it_writes_goes_on_exactly(tmp_path, moment):
    """The checkpoint is a file with its step, renamed into place after the flush, every third step."""
    folder = tmp_path / "killed"
    folder.mkdir()
    program = f"""
        import os
        from tests.training.summaries_test import write_step
        from ornet_tf.training.summaries import PhaseSummaries
        with PhaseSummaries({str(folder)!r}, {{"seed": 5}}) as summaries:
            for step in range(1, 100000):
                write_step(summaries, step)
                if step % 3 == 0:
                    summaries.flush()
                    open({str(folder / "new")!r}, "w").write(str(step))
                    os.replace({str(folder / "new")!r}, {str(folder / "checkpoint")!r})
                    print(step, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, cwd=source_tree.ROOT
    ) as process:
        for line in process.stdout:
            if int(line) >= moment:
                process.kill()
                break
    assert process.returncode == -9
    step = int((folder / "checkpoint").read_text())
    assert step >= moment
    last = step + 4
    write(folder, range(step + 1, last + 1), first_step=step)
    write(tmp_path / "whole", range(1, last + 1))
    expected = tensorboard_readers.digests(tmp_path / "whole" / "tensorboard")
    assert tensorboard_readers.digests(folder / "tensorboard") == expected
    assert (folder / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
