"""Checkpoints of a phase: saving, resuming, and handing named parts to later phases."""
from __future__ import annotations

import collections
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from ornet_tf.compat import keras


class PhaseCheckpoints:
    """The checkpoints of one phase in `<folder>/checkpoints`."""

    def __init__(self, folder: str, parts: Mapping[str, keras.Model], optimizers: Sequence[Any], *, keep: int):
        """Tracks the parts, the optimisers and the step.

        Args:
          folder: the phase's folder.
          parts: name -> model.
          optimizers: built optimisers, so that their slots are restored at once.
          keep: how many of the newest checkpoints stay on disk.
        """
        self._folder = folder
        self._checkpoint = tf.train.Checkpoint(
            **parts, **{f"optimizer_{i}": o for i, o in enumerate(optimizers)}, step=tf.Variable(0, dtype=tf.int64)
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, os.path.join(folder, "checkpoints"), max_to_keep=keep, checkpoint_name="step"
        )

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one, and returns its step (0 without one).

        Raises:
          ValueError: if the checkpoint can't be read or is of another model.
        """
        path = latest(self._folder)
        if path is None:
            return 0
        _restore(self._checkpoint, path, partial=False)
        return int(tf.convert_to_tensor(self._checkpoint.step))

    def save(self, step: int) -> None:
        """Writes a checkpoint and removes the ones beyond `keep`.

        Raises:
          OSError: if it can't be written; the checkpoints before it stay.
        """
        self._checkpoint.step.assign(step)
        try:
            self._manager.save(checkpoint_number=step)
        except tf.errors.OpError as error:
            raise OSError(
                f"The checkpoint of step {step} could not be written to {self._manager.directory}: {error.message} "
                "Free some space and start the same command again; the checkpoints before it are intact."
            ) from error


def latest(folder: str) -> str | None:
    """Returns the path of the phase's newest checkpoint whose files are there, or None."""
    state = tf.train.get_checkpoint_state(os.path.join(folder, "checkpoints"))
    for path in reversed(state.all_model_checkpoint_paths if state else ()):
        if os.path.exists(f"{path}.index"):
            return path
    return None


def finish(folder: str, **facts: Any) -> None:
    """Marks a phase as trained to its end, with what there is to say of it and an id of this training."""
    write_json(os.path.join(folder, "finished.json"), {"id": uuid.uuid4().hex, **facts})


def is_finished(folder: str) -> bool:
    """Returns whether the phase was trained to its end."""
    return os.path.exists(os.path.join(folder, "finished.json"))


def run_id(workdir: str, phase: str) -> str:
    """Returns the id that `finish` gave a phase, or an empty string."""
    path = os.path.join(workdir, phase, "finished.json")
    if not os.path.exists(path):
        return ""
    return read_json(path)["id"]


def sources(init_from: Mapping[str, str]) -> list[str]:
    """Returns the phases that "phase.part" references name, in order."""
    return sorted({source.split(".")[0] for source in init_from.values()})


def load_parts(parts: Mapping[str, keras.Model], sources: Mapping[str, str], workdir: str) -> None:
    """Gives parts the weights that other phases ended with.

    Args:
      parts: name -> model, to be changed in place.
      sources: name of a part -> "phase.part".
      workdir: the run's folder, which holds a folder for each phase.

    Raises:
      ValueError: if a phase is not finished, or its part does not fit.
    """
    unknown = sorted(set(sources) - set(parts))
    if unknown:
        raise ValueError(f"init_from: no part {unknown[0]!r}; this method's parts are {', '.join(parts)}.")
    by_phase: dict[str, dict[str, keras.Model]] = collections.defaultdict(dict)
    for name, source in sources.items():
        phase, part = source.split(".")
        by_phase[phase][part] = parts[name]
    for phase, models in by_phase.items():
        folder = os.path.join(workdir, phase)
        path = latest(folder)
        if path is None or not is_finished(folder):
            raise ValueError(f"Phase {phase!r} is not finished in {workdir}; train it to its end with ornet_tf.train.")
        _restore(tf.train.Checkpoint(**models), path, partial=True)


def _restore(checkpoint: tf.train.Checkpoint, path: str, *, partial: bool) -> None:
    try:
        status = checkpoint.restore(path)
        if partial:
            status.expect_partial().assert_existing_objects_matched()
        else:
            status.assert_consumed()
    except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"The checkpoint {path} can't be restored: it is damaged or lacks what was asked for ({reason}). Use the "
            "configuration that wrote it, or remove the files of this step to go on from the one before."
        ) from error


def claim(folder: str, settings: Mapping[str, Any]) -> None:
    """Stores the settings that a phase is trained with; once it has a checkpoint, checks that they are the stored ones.

    Raises:
      ValueError: if the phase was started with other settings; the message lists what differs.
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "settings.json")
    settings = json.loads(json.dumps(settings, default=str))
    if not os.path.exists(path) or not latest(folder):
        write_json(path, settings)
        return
    changed = _changes(read_json(path), settings)
    if changed:
        raise ValueError(
            f"{folder} holds a run with other settings: {changed}. Use another --workdir, restore the settings, or "
            "remove this folder to train the phase again."
        )


def check_settings(folder: str, settings: Mapping[str, Any]) -> None:
    """Checks that some of the settings are those that the phase in `folder` was trained with.

    Raises:
      ValueError: if not; the message lists what differs.
    """
    path = os.path.join(folder, "settings.json")
    if not os.path.exists(path):
        return  # nothing was trained there, which `load_parts` says better
    before = _flatten(read_json(path))
    now = _flatten(json.loads(json.dumps(settings, default=str)))
    changed = _changes({key: before.get(key) for key in now}, now)
    if changed:
        raise ValueError(f"{folder} was trained with other settings: {changed}. Give the command the same --config.")


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    before, now = _flatten(before), _flatten(now)
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return "; ".join(f"{key} was {before.get(key)!r}, now {now.get(key)!r}" for key in changed)


def read_json(path: str) -> Any:
    """Returns what `write_json` stored."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_json(path: str, value: Any) -> None:
    """Writes a JSON file aside and renames it into place, so that no reader meets half of it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.partial", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, default=str)
        file.write("\n")
    os.replace(f"{path}.partial", path)


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat = {}
    for key, value in tree.items():
        flat.update(_flatten(value, f"{prefix}.{key}" if prefix else key))
    return flat
