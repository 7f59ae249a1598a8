"""The files of a run's folder besides checkpoints: the lock, the settings of phases, and marks of finished phases."""
from __future__ import annotations

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from absl import logging

from ornet_tf import atomic_write, file_lock, renamed
from ornet_tf.errors import UserError

# The required content of a run's files: a type, a dictionary with required keys (`...` for any key), or a list.
_SCHEMAS: dict[str, Any] = {
    "data.json": {"training_images": int, "class_names": [str]},
    "checked_images.json": {...: {"fingerprint": str, "left_out": [str]}},
    "settings.json": {...: object},
    "finished.json": {"id": str},
}


@contextlib.contextmanager
def lock(workdir: str, process: str = "", *, use: str = "trains there") -> Iterator[None]:
    """Locks a run's folder against other processes. The lock ends with its process, even if that is killed.

    Args:
      workdir: the run's folder; created if missing.
      process: the name of this process if several processes train one run.
      use: what the process that holds the lock does, for the error message of other processes.

    Raises:
      UserError: if another process holds the lock; the message names it.
    """
    path = os.path.join(workdir, "-".join(filter(None, [".lock", process])))
    with atomic_write.explain_failures(f"{path} could not be written"):
        os.makedirs(workdir, exist_ok=True)
        opened = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed below
    with opened as file:
        if not file_lock.take(file, workdir):
            file.seek(0)
            raise UserError(
                f"{workdir} is in use: {file.read().strip() or 'another process'} {use}. Wait for it, stop it, "
                "or use another --workdir."
            )
        with contextlib.suppress(OSError):  # on a full disk: the lock works without the name of its holder
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        yield


def mark_finished(folder: str, **facts: Any) -> None:
    """Marks a phase as finished and stores a new id of this training and further facts."""
    write_json(os.path.join(folder, "finished.json"), {"id": uuid.uuid4().hex, **facts})


def is_finished(folder: str) -> bool:
    """Returns whether the phase is finished."""
    return os.path.exists(os.path.join(folder, "finished.json"))


def read_finished(folder: str) -> dict[str, Any]:
    """Returns what `mark_finished` stored: the id and facts; empty if the phase is not finished."""
    return read_json(os.path.join(folder, "finished.json")) if is_finished(folder) else {}


def run_id(workdir: str, phase: str) -> str:
    """Returns the id of a finished phase, or ""."""
    return read_finished(os.path.join(workdir, phase)).get("id", "")


def bind_settings(folder: str, settings: Mapping[str, Any], *, learned: bool, allow_changes: bool = False) -> None:
    """Stores the settings of a phase. If the phase has a checkpoint, checks them against the stored settings instead.

    Args:
      folder: the phase's folder.
      settings: the settings.
      learned: whether the phase has a checkpoint.
      allow_changes: whether other settings than the stored ones are allowed; they are then stored.

    Raises:
      UserError: if the phase was started with other settings; the message lists the differences.
    """
    path = os.path.join(folder, "settings.json")
    settings = json.loads(json.dumps(settings, default=str))
    is_bound = learned and os.path.exists(path)
    changed = _changes(read_settings(folder), renamed.update_settings(settings)) if is_bound else ""
    if changed and not allow_changes:
        raise UserError(
            f"{folder} was started with other settings: {changed}. Use another --workdir, restore the settings, remove "
            "this folder to train the phase again, or resume with the new settings with --allow_changed_settings."
        )
    if changed:
        logging.warning("%s is resumed with other settings: %s.", folder, changed)
    if changed or not learned:
        write_json(path, settings)


def read_settings(folder: str) -> dict[str, Any]:
    """Returns the stored settings of the phase in `folder`; empty if there are none."""
    path = os.path.join(folder, "settings.json")
    return read_json(path, update=renamed.update_settings) if os.path.exists(path) else {}


def check_origin(workdir: str, phase: str) -> None:
    """Checks that a phase started from the phases that are in the workdir now.

    Raises:
      UserError: if one of these phases was trained again since then.
    """
    for origin, origin_id in read_settings(os.path.join(workdir, phase)).get("starts_from", {}).items():
        if run_id(workdir, origin) not in ("", origin_id):
            raise UserError(
                f"{os.path.join(workdir, phase)} started from an earlier {origin}, which was trained again since then. "
                f"Remove that folder and train {phase} again."
            )


def check_settings(folder: str, settings: Mapping[str, Any]) -> None:
    """Checks some settings against the stored settings of the phase in `folder`.

    Raises:
      UserError: if they differ; the message lists the differences.
    """
    path = os.path.join(folder, "settings.json")
    if not os.path.exists(path):
        return  # nothing was trained there; `load_parts` has the better message
    before = _flatten(read_settings(folder))
    now = _flatten(json.loads(json.dumps(settings, default=str)))
    changed = _changes({key: before.get(key) for key in now}, now)
    if changed:
        raise UserError(
            f"{folder} was trained with other settings: {changed}. Use the same --config and flags."
        )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    before, now = _flatten(before), _flatten(now)
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return "; ".join(f"{key} was {before.get(key)!r}, now {now.get(key)!r}" for key in changed)


def read_json(path: str, schema: Any = None, *, update: Callable[[dict], dict] | None = None) -> Any:
    """Returns what `write_json` stored.

    Args:
      path: the path of the file.
      schema: the required content, in the form of `_SCHEMAS`; None for the schema of a run's file of this name.
      update: updates the names in a file that an earlier version may have written.

    Raises:
      UserError: if the file is not JSON, or does not fit the schema.
    """
    with open(path, encoding="utf-8") as file:
        try:
            value = json.load(file)
        except ValueError as error:
            raise UserError(f"{path} can't be read ({error}). Restore it from a backup or remove it.") from error
    unexpected = UserError(f"{path} has unexpected content. Restore it from a backup or remove it.")
    if update is not None and isinstance(value, dict):
        try:
            value = update(value)
        except (AttributeError, KeyError, TypeError) as error:
            raise unexpected from error
    if not _matches(value, _SCHEMAS.get(os.path.basename(path), object) if schema is None else schema):
        raise unexpected
    return value


def _matches(value: Any, schema: Any) -> bool:
    if isinstance(schema, list):
        return isinstance(value, list) and all(_matches(item, schema[0]) for item in value)
    if not isinstance(schema, dict):
        return isinstance(value, schema)
    if not isinstance(value, dict):
        return False
    if ... in schema:
        return all(_matches(item, schema[...]) for item in value.values())
    return all(key in value and _matches(value[key], expected) for key, expected in schema.items())


def write_json(path: str, value: Any) -> None:
    """Writes a JSON file; see `write_text`."""
    write_text(path, json.dumps(value, indent=1, default=str) + "\n")


def write_text(path: str, text: str) -> None:
    """Writes a file atomically, so that no reader sees half of it. Creates the folder.

    Raises:
      OSError: if the file can't be written; its old content stays.
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
