"""When the loop logs, previews, saves and stops. Its step counts instead of computing; see also phases_test.py."""
import json
import os

import numpy as np
import pytest

from ornet_tf.errors import NotFiniteError
from ornet_tf.runs import interruption
from ornet_tf.training.loop import PhaseLoop
from ornet_tf.training.step import StepResults
from ornet_tf.training.summaries import PhaseSummaries


class CountingStep:
    """Its loss at step s is s. It can stop early."""

    def __init__(self, *, waiting=0.0, bad_step=None, stop_after=None, not_finite=()):
        self.waiting, self.bad_step, self.stop_after = waiting, bad_step, stop_after
        self.not_finite = list(not_finite)
        self.calls = []

    def stop(self):
        raise AssertionError("there are no signals in these tests")

    def run(self, iterator, first_step, count):
        self.calls.append((first_step, count))
        losses = [float(step) for step in range(first_step, first_step + count)]
        stopped = self.stop_after is not None and first_step < self.stop_after <= first_step + count
        if stopped:
            losses = losses[: self.stop_after - first_step]
        if self.bad_step in range(first_step, first_step + count):
            losses = [*losses[: self.bad_step - first_step], np.nan]
        values = np.array([[loss, 2 * loss] for loss in losses], np.float32)
        seconds = float(len(losses))
        return StepResults(["loss", "other"], values, seconds, self.waiting * seconds, stopped, self.not_finite)


class StoredCheckpoints:
    """Checkpoints that store their arguments."""

    def __init__(self, restored=(0, None)):
        self.restored, self.saved = restored, []

    def restore(self):
        return self.restored

    def save(self, step, record):
        self.saved.append((step, json.loads(json.dumps(record))))


class CountingPreview:
    """Counts how often outputs are computed."""

    images = np.zeros([1, 4, 4, 3], np.float32)

    def __init__(self):
        self.count = 0

    def outputs(self):
        self.count += 1
        return {"activation_map": np.zeros([1, 2, 2, 1], np.float32)}


def make(step, stored, preview=None, **options):
    values = {"steps_per_loop": 4, "checkpoint_every": 6, "summary_every": 5, **options}
    return PhaseLoop(
        step, stored, preview or CountingPreview(), name="phase", steps=10, batch_size=3,
        learning_rate=lambda: 0.5, **values,
    )


def run(loop, folder, first_step=0):
    with PhaseSummaries(str(folder), {}, first_step=first_step) as summaries:
        loop.run(None, summaries, interruption.Interruption(interruption.RESUMES), first_step=first_step)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_means_of_windows_are_logged(tmp_path):
    step, stored, preview = CountingStep(), StoredCheckpoints(), CountingPreview()
    run(make(step, stored, preview), tmp_path)
    assert step.calls == [(0, 4), (4, 4), (8, 2)]
    assert [(line["step"], line["loss"], line["other"]) for line in lines(tmp_path)] == [
        (4, 1.5, 3.0), (8, 5.5, 11.0), (10, 8.5, 17.0),
    ]
    assert lines(tmp_path)[0]["learning_rate"] == 0.5
    assert lines(tmp_path)[0]["speed/images_per_second"] == 3.0
    assert [number for number, _ in stored.saved] == [8, 10]
    assert preview.count == 2  # after steps 5 and 10


def test_an_interrupted_window_is_resumed(tmp_path):
    stored = StoredCheckpoints()
    with pytest.raises(interruption.Interrupted, match="Another worker stopped the run after step 6 of 10 of phase"):
        run(make(CountingStep(stop_after=6), stored), tmp_path)
    (step, saved), = stored.saved
    assert step == 6 and saved["rows"] == [[4.0, 8.0], [5.0, 10.0]]
    later, preview = StoredCheckpoints((6, saved)), CountingPreview()
    loop = make(CountingStep(), later, preview)
    assert loop.resume() == 6
    run(loop, tmp_path, first_step=6)
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(4, 1.5), (8, 5.5), (10, 8.5)]
    assert preview.count == 1 + 1  # in windows 4 to 8 and 8 to 10
    assert later.saved[-1][1]["clock"]["seconds_of_steps"] == 10.0


def test_rows_of_other_metrics_are_dropped(tmp_path):
    saved = {"names": ["gone"], "rows": [[100.0]], "clock": {"seconds": 1.0, "seconds_of_steps": 1.0,
                                                             "seconds_of_waiting": 0.0}}
    loop = make(CountingStep(), StoredCheckpoints((1, saved)))
    run(loop, tmp_path, first_step=loop.resume())
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(4, 2.0), (8, 5.5), (10, 8.5)]


def test_a_loss_that_is_not_finite_stops_the_phase_and_is_not_saved(tmp_path):
    stored = StoredCheckpoints()
    with pytest.raises(FloatingPointError, match="Phase phase, step 9: loss = nan, other = nan"):
        run(make(CountingStep(bad_step=9), stored), tmp_path)
    assert [number for number, _ in stored.saved] == [8]


def test_statistics_that_are_not_finite_stop_the_phase(tmp_path):
    stored = StoredCheckpoints()
    message = r"Phase phase, step 3: direction/scores/threshold is not finite\. .*float16"
    with pytest.raises(NotFiniteError, match=message):
        run(make(CountingStep(not_finite=["direction/scores/threshold"]), stored), tmp_path)
    assert stored.saved == []


def test_three_of_many_statistics_that_are_not_finite_are_named(tmp_path):
    names = [f"upper/norm_{number}/moving_mean" for number in range(200)]
    message = r"step 3: (upper/norm_[012]/moving_mean is not finite, ){3}197 more are not finite"
    with pytest.raises(NotFiniteError, match=message):
        run(make(CountingStep(not_finite=names), StoredCheckpoints()), tmp_path)


@pytest.mark.parametrize(("waiting", "bound"), [(0.5, "input"), (0.01, "compute")])
def test_report_speed_finds_what_bounds_the_speed(tmp_path, caplog, waiting, bound):
    loop = make(CountingStep(waiting=waiting), StoredCheckpoints())
    run(loop, tmp_path)
    with caplog.at_level("INFO", logger="absl"):
        facts = loop.report_speed()
    assert facts["bound_by"] == bound and facts["images_per_second"] == 3.0
    assert f"{100 * waiting:.1f} % of the time waiting for images ({bound}-bound" in caplog.text


def test_a_process_that_writes_no_logs_previews_and_saves(tmp_path):
    stored, preview = StoredCheckpoints(), CountingPreview()
    make(CountingStep(), stored, preview).run(None, None, interruption.Interruption(interruption.RESUMES), first_step=0)
    assert [number for number, _ in stored.saved] == [8, 10]
    assert preview.count == 2
    assert not os.listdir(tmp_path)
