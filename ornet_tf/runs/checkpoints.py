"""Saves and restores the checkpoints of a phase, and loads its parts into later phases."""
from __future__ import annotations

import collections
import contextlib
import glob
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from ornet_tf import atomic_write
from ornet_tf.compat import keras
from ornet_tf.errors import NotFiniteError, UserError
from ornet_tf.runs import checkpoint_reading, run_folder


class _Record(tf.train.experimental.PythonState):
    """A JSON value in a checkpoint."""

    def __init__(self):
        self.value: Any = None

    def serialize(self):
        return json.dumps(self.value)

    def deserialize(self, string_value):
        self.value = json.loads(string_value)


class PhaseCheckpoints:
    """The checkpoints of one phase: `<folder>/checkpoints/step-<step>`.

    A checkpoint exists if its index file exists, which is written last. No other file lists the checkpoints.
    """

    def __init__(
        self,
        folder: str,
        parts: Mapping[str, keras.Model],
        optimizers: Sequence[Any],
        *,
        keep: int,
        state: Mapping[str, tf.Variable] | None = None,
        is_chief: bool = True,
    ):
        """Tracks all that is needed to resume a phase.

        Args:
          folder: the phase's folder.
          parts: name -> model.
          optimizers: built optimizers; their slots exist and are restored at once.
          keep: the number of newest checkpoints to keep on disk.
          state: name -> other variables that change during training.
          is_chief: whether this process writes the checkpoint. All processes must call `save`.
        """
        self._folder, self._parts, self._keep, self._is_chief = folder, dict(parts), keep, is_chief
        self._record = _Record()
        self._checkpoint = tf.train.Checkpoint(
            **parts,
            **{f"optimizer_{i}": o for i, o in enumerate(optimizers)},
            **(state or {}),
            step=tf.Variable(0, dtype=tf.int64),
            record=self._record,
        )

    def restore(self) -> tuple[int, Any]:
        """Restores the newest readable checkpoint. Changes nothing if there is no checkpoint.

        Returns:
          The step and the record of the checkpoint; (0, None) without one.

        Raises:
          UserError: if all checkpoints are damaged, or the newest one is of another model.
        """
        damaged = []
        for path in reversed(_paths(self._folder)):
            try:
                checkpoint_reading.check_parts(self._parts, path)
                checkpoint_reading.restore(self._checkpoint, path, partial=False)
            except checkpoint_reading.DamagedCheckpointError as error:
                logging.warning("%s", error)
                damaged.append(path)
                continue
            if damaged:
                logging.warning("Training resumes from %s instead.", path)
            return int(tf.convert_to_tensor(self._checkpoint.step)), self._record.value
        if damaged:
            raise UserError(
                f"All checkpoints of {self._folder} are damaged ({', '.join(map(os.path.basename, damaged))}). Restore "
                "one from a backup, or remove that folder to train the phase from its start."
            )
        return 0, None

    def save(self, step: int, record: Any = None) -> None:
        """Writes a checkpoint and removes older ones beyond `keep`.

        Args:
          step: the number of steps trained so far.
          record: a JSON value, which `restore` returns.

        Raises:
          OSError: if the checkpoint can't be written; the earlier checkpoints stay.
        """
        self._checkpoint.step.assign(step)
        self._record.value = record
        if not self._is_chief:  # all workers must take part in reading a distributed variable
            with _writing(step, tempfile.gettempdir()), tempfile.TemporaryDirectory() as aside:
                self._checkpoint.write(os.path.join(aside, "step"))
            return
        folder = os.path.join(self._folder, "checkpoints")
        path, aside = os.path.join(folder, f"step-{step}"), os.path.join(folder, "partial")
        with _writing(step, folder):
            os.makedirs(folder, exist_ok=True)
            try:
                self._checkpoint.write(aside)
                # The index last. TensorFlow would create it under its final name before it is complete.
                for name in sorted(glob.glob(f"{glob.escape(aside)}.*")):
                    atomic_write.replace_file(name, path + name[len(aside) :])
            except BaseException:
                with contextlib.suppress(OSError):
                    _remove(aside)
                raise
        # Checkpoints of later steps are damaged; they will be written again. Files of a killed save have no index.
        kept = [old for old in _paths(self._folder) if _step(old) <= step][-self._keep :]
        for other in {re.sub(r"(step-\d+|partial).*", r"\1", name) for name in os.listdir(folder)}:
            if other.startswith(("step-", "partial")) and os.path.join(folder, other) not in kept:
                _remove(os.path.join(folder, other))


def _writing(step: int, folder: str):
    return atomic_write.explain_failures(
        f"The checkpoint of step {step} could not be written to {folder}", "; the checkpoints before it are intact"
    )


def _paths(folder: str) -> list[str]:
    """Returns the paths of a phase's checkpoints in the order of their steps."""
    folder = os.path.join(folder, "checkpoints")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    matches = map(re.compile(r"step-(\d+)\.index$").match, names)
    steps = sorted(int(match.group(1)) for match in matches if match)
    return [os.path.join(folder, f"step-{step}") for step in steps]


def _step(path: str) -> int:
    return int(path.rpartition("-")[2])


def _remove(path: str) -> None:
    """Removes the files of a complete or partial checkpoint, the index first."""
    for name in [f"{path}.index", *glob.glob(f"{glob.escape(path)}.*"), *glob.glob(f"{glob.escape(path)}_temp/*")]:
        if os.path.exists(name):
            os.remove(name)
    if os.path.isdir(f"{path}_temp"):
        os.rmdir(f"{path}_temp")


def latest_checkpoint(folder: str) -> str | None:
    """Returns the path of the phase's newest checkpoint without suffix, or None."""
    return _paths(folder)[-1] if _paths(folder) else None


def source_phases(init_from: Mapping[str, str]) -> list[str]:
    """Returns the sorted names of the phases in "phase.part" references."""
    return sorted({source.split(".")[0] for source in init_from.values()})


def load_parts(parts: Mapping[str, keras.Model], sources: Mapping[str, str], workdir: str) -> None:
    """Loads the final weights of finished phases into parts.

    Args:
      parts: name -> model; changed in place.
      sources: part name -> "phase.part".
      workdir: the run's folder, with a folder for each phase.

    Raises:
      UserError: if a phase is not finished, or a part does not fit.
      NotFiniteError: if a weight is NaN or infinite.
    """
    unknown = sorted(set(sources) - set(parts))
    if unknown:
        raise UserError(f"init_from: no part {unknown[0]!r}; this method's parts are {', '.join(parts)}.")
    # Several parts may have the same source, but one tf.train.Checkpoint has one model per name: load in rounds.
    rounds: dict[tuple[str, int], dict[str, keras.Model]] = collections.defaultdict(dict)
    uses: collections.Counter[str] = collections.Counter()
    for name, source in sources.items():
        phase, part = source.split(".")
        rounds[phase, uses[source]][part] = parts[name]
        uses[source] += 1
    for (phase, _), models in rounds.items():
        folder = os.path.join(workdir, phase)
        path = latest_checkpoint(folder)
        if path is None or not run_folder.is_finished(folder):
            raise UserError(f"Phase {phase!r} is not finished in {workdir}; train it with ornet_tf.train.")
        try:
            checkpoint_reading.check_parts(models, path)
            checkpoint_reading.restore(tf.train.Checkpoint(**models), path, partial=True)
        except checkpoint_reading.DamagedCheckpointError as error:
            raise UserError(
                f"{error} Restore it from a backup, or remove it together with {folder}/finished.json: ornet_tf.train "
                "then resumes the phase from the checkpoint before."
            ) from error
        for part, model in models.items():
            _check_finite(model, f"{phase}.{part}", folder)


def _check_finite(model: keras.Model, part: str, folder: str) -> None:
    floats = [weight for weight in model.weights if tf.as_dtype(weight.dtype).is_floating]
    broken = [weight.name for weight in floats if not bool(tf.reduce_all(tf.math.is_finite(weight)))]
    if broken:
        raise NotFiniteError(
            f"{len(broken)} of {len(floats)} weights of {part} are NaN or infinite, such as {broken[0]}: its training "
            f"has diverged. Check the losses in {folder}, remove it, and train it again with a lower learning_rate."
        )
