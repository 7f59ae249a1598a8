"""What a run was trained on: its classes and the number of its pictures, which it is bound to once it has learned."""
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ornet_tf import checkpoints, run_folder
from ornet_tf.datasets import Source
from ornet_tf.errors import UserError

_FILE = "data.json"  # in the workdir


def claim(workdir: str, source: Source, phases: Sequence[str]) -> None:
    """Stores the classes and the number of training pictures; once a phase has a checkpoint, checks them instead.

    Raises:
      UserError: if the run was started on other data: labels would change their meaning, and epochs their length.
    """
    path = os.path.join(workdir, _FILE)
    data = {"training_pictures": len(source), "class_names": list(source.class_names)}
    learned = any(checkpoints.latest(os.path.join(workdir, phase)) for phase in phases)
    if not learned or not os.path.exists(path):
        run_folder.write_json(path, data)
        return
    before = run_folder.read_json(path)
    if before != data:
        raise UserError(
            f"The training data has changed since this run was started ({before['training_pictures']} pictures of "
            f"{len(before['class_names'])} classes then, {len(source)} of {len(source.class_names)} now, or other "
            f"class names): use another --workdir than {workdir}."
        )


def read(workdir: str) -> dict[str, Any]:
    """Returns what `claim` stored: "training_pictures", their number, and "class_names".

    Raises:
      FileNotFoundError: if nothing was trained in `workdir`.
    """
    path = os.path.join(workdir, _FILE)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is missing: expected the --workdir of an ornet_tf.train run.")
    return run_folder.read_json(path)


def class_names(workdir: str) -> list[str]:
    """Returns the class names of a run.

    Raises:
      FileNotFoundError: if nothing was trained in `workdir`.
    """
    return read(workdir)["class_names"]
