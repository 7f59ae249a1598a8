"""The plan of a run: its parts, the export and the options; stored once in the output folder."""
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from ornet_tf.bulk import inputs, output_folder
from ornet_tf.bulk.output_folder import OutputFolder
from ornet_tf.errors import UserError

_FORMAT = 1


class Plan(NamedTuple):
    """What a run does; equal plans give equal output.

    Attributes:
      input: the input as the user named it.
      kind: one of `inputs.KINDS`.
      digest: see `inputs.Input`.
      model_version: see `export_version`.
      part_size: see `inputs.find`.
      image_field: see `shard_rows.Fields`.
      key_field: see `shard_rows.Fields`.
      max_bytes: larger image files are not read; the export would refuse them.
      parts: all parts, in order.
    """

    input: str
    kind: str
    digest: str
    model_version: str
    part_size: int
    image_field: str
    key_field: str
    max_bytes: int
    parts: Sequence[inputs.Part]

    def as_json(self) -> bytes:
        """Returns the content of plan.json."""
        return (json.dumps({"format": _FORMAT, **self._asdict()}, indent=1) + "\n").encode()


# What to say about the first field that differs, in this order.
_FLAGS = {
    "input": "--input",
    "kind": "--input",
    "model_version": "--export",
    "part_size": "--part_size",
    "image_field": "--image_field",
    "key_field": "--key_field",
    "digest": "--input",
    "parts": "--input",
}


def store(plan: Plan, files: Sequence[str], folder: OutputFolder) -> None:
    """Writes the plan into the output folder, or compares it with the one that is there.

    Args:
      plan: the plan of this run.
      files: the image files of `inputs.Input`.
      folder: the output folder.

    Raises:
      UserError: if the folder has the plan of another run, or something else is in it.
      OSError: if the folder can't be read or written.
    """
    stored = folder.read(output_folder.PLAN)
    if stored is None:
        if folder.finished_parts(len(plan.parts)):
            raise UserError(
                f"--output: expected an empty folder or one of an earlier run, but {folder.text} has shards and no "
                f"{output_folder.PLAN}; name another folder."
            )
        if files:
            folder.write_files(files, plan.part_size)
        folder.write(output_folder.PLAN, plan.as_json())  # last: it says that all of it is there
        return
    if stored != plan.as_json():
        raise UserError(_explain(stored, plan, folder))


def _explain(stored: bytes, plan: Plan, folder: OutputFolder) -> str:
    try:
        before = json.loads(stored)
    except ValueError:
        before = None
    if not isinstance(before, dict) or before.get("format") != _FORMAT:
        return (
            f"--output: expected the {output_folder.PLAN} of this version of the program in {folder.text}, but it is "
            "another; name another folder."
        )
    now = json.loads(plan.as_json())
    for name, flag in _FLAGS.items():
        if before.get(name) != now[name]:
            difference = f"now {now[name]!r} instead of {before.get(name)!r}"
            if name in ("digest", "parts"):
                difference = "files were added or removed there"
                if plan.kind != inputs.IMAGES:
                    difference = "files were added, removed or replaced there"
            return (
                f"{flag}: expected the same as when the run in {folder.text} began, but it has changed: {difference}. "
                "Give the same again, or name another --output."
            )
    return f"--output: expected the plan of this run in {folder.text}, but it is another; name another folder."
