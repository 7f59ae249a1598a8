"""What lies beside the checkpoints in a run's folder: the lock, the settings of each phase, and how it ended."""
from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from absl import logging

from ornet_tf import atomic_write, renamed
from ornet_tf.errors import UserError

# What the files of a run hold at least: a type, a dictionary with some keys (`...` for any), or a list of one kind.
_HOLDS: dict[str, Any] = {
    "data.json": {"training_images": int, "class_names": [str]},
    "checked_images.json": {...: {"fingerprint": str, "left_out": [str]}},
    "settings.json": {...: object},
    "finished.json": {"id": str},
}


@contextlib.contextmanager
def lock(workdir: str, process: str = "", *, use: str = "trains there") -> Iterator[None]:
    """Keeps other processes from working in the same folder.

    Args:
      workdir: the run's folder; it is made if it is not there.
      process: the name of this process where several train one run.
      use: what a process that holds the folder does, for the message to others.

    Raises:
      UserError: if a process holds the folder; it is named. The lock goes with its process, however that ends.
    """
    path = os.path.join(workdir, "-".join(filter(None, [".lock", process])))
    with atomic_write.explain_failures(f"{path} could not be written"):
        os.makedirs(workdir, exist_ok=True)
        opened = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed below
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UserError(
                f"{workdir} is in use: {file.read().strip() or 'another process'} {use}. Wait for it, stop it, "
                "or use another --workdir."
            ) from error
        except OSError as error:
            logging.warning("%s can't be locked (%s): see to it that one run only uses it.", workdir, error)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the name of its holder
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        yield


def mark_finished(folder: str, **facts: Any) -> None:
    """Marks a phase as trained to its end, with what there is to say of it and an id of this training."""
    write_json(os.path.join(folder, "finished.json"), {"id": uuid.uuid4().hex, **facts})


def is_finished(folder: str) -> bool:
    """Returns whether the phase was trained to its end."""
    return os.path.exists(os.path.join(folder, "finished.json"))


def read_finished(folder: str) -> dict[str, Any]:
    """Returns what `finish` stored of a phase, its id among it; empty if the phase was not trained to its end."""
    return read_json(os.path.join(folder, "finished.json")) if is_finished(folder) else {}


def run_id(workdir: str, phase: str) -> str:
    """Returns the id that `finish` gave a phase, or an empty string."""
    return read_finished(os.path.join(workdir, phase)).get("id", "")


def bind_settings(folder: str, settings: Mapping[str, Any], *, learned: bool, allow_changes: bool = False) -> None:
    """Stores the settings that a phase is trained with; once it has learned, checks that they are the stored ones.

    Args:
      folder: the phase's folder.
      settings: the settings.
      learned: whether the phase has a checkpoint.
      allow_changes: whether to go on with other settings than before, which are then stored.

    Raises:
      UserError: if the phase was started with other settings; the message lists what differs.
    """
    path = os.path.join(folder, "settings.json")
    settings = json.loads(json.dumps(settings, default=str))
    changed = _changes(read_settings(folder), settings) if learned and os.path.exists(path) else ""
    if changed and not allow_changes:
        raise UserError(
            f"{folder} holds a run with other settings: {changed}. Use another --workdir, restore the settings, "
            "remove this folder to train the phase again, or go on all the same with --allow_changed_settings."
        )
    if changed:
        logging.warning("%s goes on with other settings: %s.", folder, changed)
    if changed or not learned:
        write_json(path, settings)


def read_settings(folder: str) -> dict[str, Any]:
    """Returns the settings that the phase in `folder` was trained with; empty if nothing was trained there."""
    path = os.path.join(folder, "settings.json")
    return read_json(path) if os.path.exists(path) else {}


def check_origin(workdir: str, phase: str) -> None:
    """Checks that the phases that a phase started from are those that are in the workdir now.

    Raises:
      UserError: if one of them was trained again since.
    """
    for origin, trained in read_settings(os.path.join(workdir, phase)).get("starts_from", {}).items():
        if run_id(workdir, origin) not in ("", trained):
            raise UserError(
                f"{os.path.join(workdir, phase)} was trained from another {origin} than the one that is there now, "
                f"which was trained again since. Remove that folder, and train {phase} again."
            )


def check_settings(folder: str, settings: Mapping[str, Any]) -> None:
    """Checks that some of the settings are those that the phase in `folder` was trained with.

    Raises:
      UserError: if not; the message lists what differs.
    """
    path = os.path.join(folder, "settings.json")
    if not os.path.exists(path):
        return  # nothing was trained there, which `load_parts` says better
    before = _flatten(read_settings(folder))
    now = _flatten(json.loads(json.dumps(settings, default=str)))
    changed = _changes({key: before.get(key) for key in now}, now)
    if changed:
        raise UserError(
            f"{folder} was trained with other settings: {changed}. Give the command the same --config and flags."
        )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    before, now = _flatten(before), _flatten(now)
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return "; ".join(f"{key} was {before.get(key)!r}, now {now.get(key)!r}" for key in changed)


def read_json(path: str, holds: Any = None) -> Any:
    """Returns what `write_json` stored.

    Args:
      path: of the file.
      holds: what it holds at least, in the form of `_HOLDS`; None for what a file of this name in a run's folder does.

    Raises:
      UserError: if it is no JSON file, or holds something else.
    """
    with open(path, encoding="utf-8") as file:
        try:
            value = json.load(file)
        except ValueError as error:
            raise UserError(f"{path} can't be read ({error}): bring it back or remove it.") from error
    if holds is None:  # a file of a run, which an earlier version may have written
        value, holds = renamed.current(value), _HOLDS.get(os.path.basename(path), object)
    if not _matches(value, holds):
        raise UserError(f"{path} holds something else than was written there: bring it back or remove it.")
    return value


def _matches(value: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return isinstance(value, list) and all(_matches(one, expected[0]) for one in value)
    if not isinstance(expected, dict):
        return isinstance(value, expected)
    if not isinstance(value, dict):
        return False
    if ... in expected:
        return all(_matches(one, expected[...]) for one in value.values())
    return all(key in value and _matches(value[key], kind) for key, kind in expected.items())


def write_json(path: str, value: Any) -> None:
    """Writes a JSON file as `write_text` does."""
    write_text(path, json.dumps(value, indent=1, default=str) + "\n")


def write_text(path: str, text: str) -> None:
    """Writes a file aside and renames it into place, so that no reader meets half of it; its folder is made.

    Raises:
      OSError: if it can't be written; what was there stays.
    """
    with atomic_write.open_file(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat = {}
    for key, value in tree.items():
        flat.update(_flatten(value, f"{prefix}.{key}" if prefix else key))
    return flat
