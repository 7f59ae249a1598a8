"""The training loop of a phase: runs windows of steps, logs, shows previews, saves checkpoints and stops."""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from ornet_tf.errors import NotFiniteError
from ornet_tf.runs.checkpoints import PhaseCheckpoints
from ornet_tf.runs.interruption import Interrupted, Interruption
from ornet_tf.training.preview import Preview
from ornet_tf.training.step import StepResults, TrainingStep
from ornet_tf.training.summaries import PhaseSummaries

# A run that waits for images for at least this share of its time is input-bound.
INPUT_BOUND = 0.1
_MAX_NAMES = 3  # of variables in an error message


class PhaseLoop:
    """Trains a phase to its end, from its start or from a checkpoint.

    The logged values are means over windows of `steps_per_loop` steps. The windows have the same steps in every run. A
    checkpoint inside a window also stores the window's metrics so far, so a resumed run logs the same means.
    """

    def __init__(
        self,
        training_step: TrainingStep,
        checkpoints: PhaseCheckpoints,
        preview: Preview,
        *,
        name: str,
        steps: int,
        batch_size: int,
        learning_rate: Callable[[], float],
        steps_per_loop: int,
        checkpoint_every: int,
        summary_every: int,
        profile_to: str = "",
    ):
        """Stores the arguments.

        Args:
          training_step: trains the steps.
          checkpoints: the checkpoints of the phase.
          preview: the preview of fixed images.
          name: the name of the phase.
          steps: the number of steps of the whole phase.
          batch_size: the global batch size.
          learning_rate: returns the learning rate of the next step.
          steps_per_loop: the steps of a window.
          checkpoint_every: the steps from one checkpoint to the next.
          summary_every: the steps from one preview to the next.
          profile_to: TensorBoard's folder, to profile the second window; "" for no profile.
        """
        self._training_step, self._checkpoints, self._preview = training_step, checkpoints, preview
        self._name, self._steps, self._batch_size, self._learning_rate = name, steps, batch_size, learning_rate
        self._window, self._checkpoint_every, self._summary_every = steps_per_loop, checkpoint_every, summary_every
        self._profile_to = profile_to
        self._names: list[str] = []
        self._rows: list[list[float]] = []
        self._clock = {"seconds": 0.0, "seconds_of_steps": 0.0, "seconds_of_waiting": 0.0}

    def resume(self) -> int:
        """Restores the newest checkpoint and returns its step, 0 without one.

        Raises:
          UserError: see `PhaseCheckpoints.restore`.
        """
        step, record = self._checkpoints.restore()
        if record:
            self._names, self._rows, self._clock = record["names"], record["rows"], record["clock"]
        return step

    def run(self, iterator, summaries: PhaseSummaries | None, signals: Interruption, *, first_step: int) -> None:
        """Trains to the end of the phase.

        Args:
          iterator: iterates over the strategy's batches, starting at `first_step`; not used if the phase has 0 steps.
          summaries: writes the logs; None for processes that write none.
          signals: reacts to signals that stop the run.
          first_step: the first step.

        Raises:
          NotFiniteError: if a loss or a gradient is not finite.
          Interrupted: after a signal; the last step is saved.
          OSError: if a checkpoint or a log can't be written.
        """
        if not self._steps:  # the phase keeps its start weights
            self._save(0, summaries)
            return
        step, windows = first_step, 0
        images, total = step * self._batch_size, self._steps * self._batch_size
        with signals.call_on_signal(self._training_step.stop), tqdm.tqdm(
            initial=images, total=total, desc=self._name, unit="image", mininterval=1, dynamic_ncols=True,
            disable=summaries is None,
        ) as progress:
            while step < self._steps:
                count = min(self._window - step % self._window, self._steps - step)
                results = self._run_window(windows, iterator, step, count)
                windows += 1
                self._check_finite(step, results)
                step += len(results.values)
                progress.update(len(results.values) * self._batch_size)
                if step % self._window == 0 or step == self._steps:
                    self._log(step, results, summaries, progress)
                is_due = _is_due(step, len(results.values), self._checkpoint_every)
                if results.stopped or is_due or step == self._steps:
                    self._save(step, summaries)
                if results.stopped:
                    raise Interrupted(
                        f"{signals.name or 'Another worker'} stopped the run after step {step} of {self._steps} of "
                        f"{self._name}. A checkpoint is saved; the same command resumes the run."
                    )

    def report_speed(self) -> dict[str, Any]:
        """Logs and returns the speed of the phase over all its starts, and whether input or compute bound it."""
        if not self._steps:
            logging.info("Phase %s: 0 epochs, so it keeps its start weights.", self._name)
            return {"steps": 0}
        seconds, waiting = self._clock["seconds_of_steps"], self._clock["seconds_of_waiting"]
        share = waiting / seconds if seconds else 0.0
        rate = self._steps * self._batch_size / seconds if seconds else 0.0
        bound = "input" if share > INPUT_BOUND else "compute"
        advice = "; config.input.cache or more CPU cores would make it faster" if bound == "input" else ""
        logging.info(
            "Phase %s: %d steps in %.0f s, %.1f images/s, %.1f %% of the time waiting for images (%s-bound%s).",
            self._name, self._steps, seconds, rate, 100 * share, bound, advice,
        )
        clock = {key: round(value, 1) for key, value in self._clock.items()}
        return {"steps": self._steps, "images_per_second": round(rate, 2), "bound_by": bound, **clock}

    def _run_window(self, windows: int, iterator, step: int, count: int) -> StepResults:
        """Trains one window and adds its metrics and times. `windows` is the number of windows before it."""
        begin = time.perf_counter()
        is_profiled = self._profile_to and windows == 1  # the first window traces the graph
        if is_profiled:
            tf.profiler.experimental.start(self._profile_to)
        try:
            results = self._training_step.run(iterator, step, count)
        finally:
            if is_profiled:
                tf.profiler.experimental.stop()
                logging.info("The profile of steps %d to %d is in %s.", step, step + count, self._profile_to)
        if results.names != self._names:  # the losses were changed on request: drop the rows of the old losses
            self._names, self._rows = results.names, []
        self._rows += results.values.tolist()
        self._clock["seconds"] += time.perf_counter() - begin
        self._clock["seconds_of_steps"] += results.seconds
        self._clock["seconds_of_waiting"] += results.waiting
        return results

    def _log(self, step: int, results: StepResults, summaries: PhaseSummaries | None, progress: tqdm.tqdm) -> None:
        """Writes the window that ends at `step`. All processes compute the preview: it reads distributed variables."""
        means = np.asarray(self._rows, np.float32).mean(axis=0)
        values = {name: float(value) for name, value in zip(results.names, means)}
        values["learning_rate"] = self._learning_rate()
        values["speed/images_per_second"] = len(results.values) * self._batch_size / max(results.seconds, 1e-9)
        values["speed/share_of_waiting"] = results.waiting / max(results.seconds, 1e-9)
        is_due = _is_due(step, len(self._rows), self._summary_every) or step == self._steps
        outputs = self._preview.outputs() if is_due else {}
        self._rows = []
        if summaries is None:
            return
        summaries.scalars(step, values)
        if outputs:
            summaries.images(step, self._preview.images, outputs)
        progress.set_postfix(loss=f"{values['loss']:.3f}", refresh=False)

    def _save(self, step: int, summaries: PhaseSummaries | None) -> None:
        if summaries is not None:
            summaries.flush()  # first, so that a run resumed from this checkpoint has all earlier log entries
        self._checkpoints.save(step, {"names": self._names, "rows": self._rows, "clock": self._clock})

    def _check_finite(self, first_step: int, results: StepResults) -> None:
        row = results.values[-1]
        terms = [f"{name} = {value}" for name, value in zip(results.names, row) if not np.isfinite(value)]
        advice = "A smaller learning rate or a warm-up usually helps."
        if not terms and results.not_finite:  # losses and gradients are finite, so features have overflowed
            advice = "If features overflow in float16, use precision = 'float32' or 'bfloat16'."
        terms += [f"{name} is not finite" for name in results.not_finite[:_MAX_NAMES]]
        if len(results.not_finite) > _MAX_NAMES:  # one such statistic makes hundreds in later layers
            terms.append(f"{len(results.not_finite) - _MAX_NAMES} more are not finite")
        if terms:
            raise NotFiniteError(
                f"Phase {self._name}, step {first_step + len(results.values) - 1}: {', '.join(terms)}. Training has "
                f"stopped; earlier checkpoints stay. {advice}"
            )


def _is_due(step: int, count: int, interval: int) -> bool:
    """Returns whether a multiple of `interval` is among the last `count` steps up to `step`."""
    return step // interval > (step - count) // interval
