"""The loop of a phase around the loop in the graph: when to log, to look, to save and to stop."""
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
from ornet_tf.training.step import Steps, TrainingStep
from ornet_tf.training.summaries import PhaseSummaries

# From this share of its time spent waiting for images a run is called bound by them.
INPUT_BOUND = 0.1
_NAMED = 3  # how many variables that are not finite stand in a sentence


class PhaseLoop:
    """Trains a phase from a step on.

    What is logged is the mean over windows of `steps_per_loop` steps that lie at the same steps in every run. The rows
    of a window that was interrupted are saved with the checkpoint, so that its mean comes out the same.
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
        """Keeps what it needs.

        Args:
          training_step: makes the steps.
          checkpoints: of the phase.
          preview: of the fixed images.
          name: of the phase.
          steps: of the whole phase.
          batch_size: over all replicas.
          learning_rate: returns the rate of the next step.
          steps_per_loop: steps of a window.
          checkpoint_every: steps from one checkpoint to the next.
          summary_every: steps from one look at the fixed images to the next.
          profile_to: TensorBoard's folder, if the second window is to be recorded by its profiler.
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
          iterator: over the strategy's batches, from `first_step` on.
          summaries: what the run is watched by, or None.
          signals: that end the run.
          first_step: the first step.

        Raises:
          NotFiniteError: if a loss or a gradient is not finite.
          Interrupted: after a signal; the step is saved.
          OSError: if a checkpoint or the logs can't be written.
        """
        step, windows = first_step, 0
        seen, total = step * self._batch_size, self._steps * self._batch_size
        with signals.stops(self._training_step.stop), tqdm.tqdm(
            initial=seen, total=total, desc=self._name, unit="image", mininterval=1, dynamic_ncols=True,
            disable=summaries is None,
        ) as progress:
            while step < self._steps:
                count = min(self._window - step % self._window, self._steps - step)
                done = self._profiled(windows, iterator, step, count)
                windows += 1
                self._check_finite(step, done)
                step += len(done.values)
                progress.update(len(done.values) * self._batch_size)
                if step % self._window == 0 or step == self._steps:
                    self._log(step, done, summaries, progress)
                if done.stopped or _crossed(step, len(done.values), self._checkpoint_every) or step == self._steps:
                    self._save(step, summaries)
                if done.stopped:
                    raise Interrupted(
                        f"{signals.name or 'Another worker'} ended the run after step {step} of {self._steps} of "
                        f"{self._name}, which is saved. The same command goes on from there."
                    )

    def facts(self) -> dict[str, Any]:
        """Logs and returns how fast the phase was over all its starts, and what bounded it."""
        seconds, waiting = self._clock["seconds_of_steps"], self._clock["seconds_of_waiting"]
        share = waiting / seconds if seconds else 0.0
        rate = self._steps * self._batch_size / seconds if seconds else 0.0
        bound = "input" if share > INPUT_BOUND else "compute"
        advice = " (config.input.cache, or more CPU cores, would make it faster)" if bound == "input" else ""
        logging.info(
            "Phase %s: %d steps in %.0f s, %.1f images/s; %.1f %% of that time they waited for images: %s-bound%s.",
            self._name, self._steps, seconds, rate, 100 * share, bound, advice,
        )
        clock = {key: round(value, 1) for key, value in self._clock.items()}
        return {"steps": self._steps, "images_per_second": round(rate, 2), "bound_by": bound, **clock}

    def _profiled(self, windows: int, iterator, step: int, count: int) -> Steps:
        begin = time.perf_counter()
        recorded = self._profile_to and windows == 1  # the first one traces and warms up
        if recorded:
            tf.profiler.experimental.start(self._profile_to)
        try:
            done = self._training_step.run(iterator, step, count)
        finally:
            if recorded:
                tf.profiler.experimental.stop()
                logging.info("The profile of steps %d to %d is in %s.", step, step + count, self._profile_to)
        if done.names != self._names:  # other losses than before, on request: rows of the old ones mean nothing now
            self._names, self._rows = done.names, []
        self._rows += done.values.tolist()
        self._clock["seconds"] += time.perf_counter() - begin
        self._clock["seconds_of_steps"] += done.seconds
        self._clock["seconds_of_waiting"] += done.waiting
        return done

    def _log(self, step: int, done: Steps, summaries: PhaseSummaries | None, progress: tqdm.tqdm) -> None:
        """Writes the window that ends at `step`; all processes look at the images, for what they read together."""
        means = np.asarray(self._rows, np.float32).mean(axis=0)
        values = {name: float(value) for name, value in zip(done.names, means)}
        values["learning_rate"] = self._learning_rate()
        values["speed/images_per_second"] = len(done.values) * self._batch_size / max(done.seconds, 1e-9)
        values["speed/share_of_waiting"] = done.waiting / max(done.seconds, 1e-9)
        is_due = _crossed(step, len(self._rows), self._summary_every) or step == self._steps
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
            summaries.flush()  # first: a run that goes on from here has all that came before
        self._checkpoints.save(step, {"names": self._names, "rows": self._rows, "clock": self._clock})

    def _check_finite(self, first_step: int, done: Steps) -> None:
        row = done.values[-1]
        terms = [f"{name} = {value}" for name, value in zip(done.names, row) if not np.isfinite(value)]
        advice = "A smaller learning rate or a warm-up usually helps."
        if not terms and done.not_finite:  # weights and losses are all right: it is the features
            advice = "precision = 'float32' or 'bfloat16' helps where features overflow in float16."
        terms += [f"{name} is not finite" for name in done.not_finite[:_NAMED]]
        if len(done.not_finite) > _NAMED:  # hundreds of statistics, one after the other, once one is not
            terms.append(f"{len(done.not_finite) - _NAMED} more are not finite")
        if terms:
            raise NotFiniteError(
                f"Phase {self._name}, step {first_step + len(done.values) - 1}: {', '.join(terms)}. Training stopped; "
                f"what was saved before stays. {advice}"
            )


def _crossed(step: int, count: int, interval: int) -> bool:
    return step // interval > (step - count) // interval
