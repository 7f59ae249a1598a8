"""What a run was trained on: its classes and images, which it is bound to once it has learned.

`data.json` holds the classes and the number of images, `training_images.npz` 24 bytes for each image: digests of its
name and of its pixels, and its label. So a run that was copied elsewhere, with its images, goes on there.
"""
from __future__ import annotations

import os
import typing
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from ornet_tf import atomic_write
from ornet_tf.data import image_store
from ornet_tf.data.checked_images import Checked
from ornet_tf.data.source import SPLITS, Source
from ornet_tf.errors import UserError
from ornet_tf.runs import checkpoints, run_folder

_FILE, _IMAGES = "data.json", "training_images.npz"  # in the workdir
_NAMED = 3  # how many names stand in a sentence
_MOST_OF_OFFICIAL_SPLITS = 0.1  # no official test set has that share of training images


class TrainedOn(typing.NamedTuple):
    """The N images of a run.

    Attributes:
      images: int64 [N, 3], digest of the name, label, and digest of the pixels.
      fingerprint: of the files that were last seen to hold these pixels.
    """

    images: np.ndarray
    fingerprint: str = ""


def bind(workdir: str, checked: Checked, phases: Sequence[str]) -> None:
    """Stores classes and training images; once a phase has a checkpoint, checks them instead.

    Pixels are compared whenever a file has another path, size or time of change than before. What is not noticed is a
    file whose content was replaced under all three of them.

    Args:
      workdir: the run's folder.
      checked: the training split.
      phases: of the run.

    Raises:
      UserError: if the run was started on other data: labels would change their meaning, epochs their length, and
        what was learned would be of images that nobody sees any more.
    """
    path, source = os.path.join(workdir, _FILE), checked.source
    data = {"training_images": len(source), "class_names": list(source.class_names)}
    learned = any(checkpoints.latest_checkpoint(os.path.join(workdir, phase)) for phase in phases)
    before = read(workdir) if learned and os.path.exists(path) else data
    images = trained_on(workdir)
    if learned and images is None and os.path.exists(path):
        logging.info("%s is of before the training images of a run were stored; they are stored now.", workdir)
    mark = () if images is None else (images.fingerprint, len(images.images))
    is_seen = mark == (checked.fingerprint, len(source))
    digests = images.images[:, 2] if is_seen else checked.digests
    now = _images(source, image_store.measure(source).digests if digests is None else digests)
    changes = _changes(images.images, now, source.names) if learned and images is not None else []
    if before != data or changes:
        raise UserError(
            f"The training data has changed since this run was started ({before['training_images']} images of "
            f"{len(before['class_names'])} classes then, {len(source)} of {len(source.class_names)} now): "
            f"{'; '.join(changes) or 'other class names'}. Bring back what it was trained on, or use another --workdir "
            f"than {workdir}."
        )
    if not learned or not is_seen:
        write(workdir, TrainedOn(now, checked.fingerprint))
    if not learned or not os.path.exists(path):
        run_folder.write_json(path, data)


def inherit(workdir: str, origin: str) -> None:
    """Binds a run that has phases of another one to the data of that one, unless it is bound already."""
    if not os.path.exists(os.path.join(workdir, _FILE)) and os.path.exists(os.path.join(origin, _FILE)):
        images = trained_on(origin)
        if images is not None:
            write(workdir, images)
        run_folder.write_json(os.path.join(workdir, _FILE), read(origin))


def trained_on(workdir: str) -> TrainedOn | None:
    """Returns the images that `claim` stored; None for a run of before they were stored.

    Raises:
      UserError: if the file is damaged.
    """
    path = os.path.join(workdir, _IMAGES)
    if not os.path.exists(path):
        return None
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return TrainedOn(stored["images"].reshape(-1, 3), str(stored["fingerprint"]))
    except atomic_write.UNREADABLE as error:
        raise UserError(f"{path} can't be read ({error}): bring it back or remove it.") from error


def write(workdir: str, images: TrainedOn) -> None:
    """Stores the images that a run was trained on.

    Raises:
      OSError: if they can't be written.
    """
    with atomic_write.open_file(os.path.join(workdir, _IMAGES)) as file:
        np.savez(file, **images._asdict())


def check_apart(workdir: str, split: str, checked: Checked) -> int | None:
    """Checks that a run was not trained on the images that it is measured on.

    Refused are images that were trained on under the same name, wherever the folder of their split stands in it, and a
    split of which more than a tenth was. A few images under another name with the same pixels as training images are
    counted and named only: official splits have such pairs. Nor is the split "train" refused, which nobody takes for
    held-out images.

    Args:
      workdir: the run's folder.
      split: the name of the split.
      checked: the split, with digests.

    Returns:
      How many of its images the run was trained on; None for a run that does not know.

    Raises:
      UserError: if images were trained on: the division into splits was changed since.
    """
    images = trained_on(workdir)
    if images is None:
        logging.warning(
            "%s is of before the training images of a run were stored: whether images of %s are among them is not "
            "known.", workdir, split)
        return None
    now = _images(checked.source, checked.digests)
    # One digest of both: splits may count their names alike, so that a name alone says nothing.
    is_same = np.isin(now[:, 0] ^ now[:, 2], images.images[:, 0] ^ images.images[:, 2])
    is_known = np.isin(now[:, 2], images.images[:, 2])
    of_all, names = f"of {len(now)} images of the {split} split", checked.source.names
    is_refused = is_known if is_known.mean() > _MOST_OF_OFFICIAL_SPLITS else is_same
    if is_refused.any() and split != "train":
        raise UserError(
            f"{is_refused.sum()} {of_all} were trained on by the run in {workdir}: {_first_names(names, is_refused)}. "
            "Divide the data as it was for training (config.dataset.options), or train again in another --workdir."
        )
    if is_known.any():
        first = _first_names(names, is_known)
        logging.warning("%d %s have the pixels of training images: %s.", is_known.sum(), of_all, first)
    return int(is_known.sum())


def read(workdir: str) -> dict[str, Any]:
    """Returns what `claim` stored: "training_images", their number, and "class_names".

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


def _images(source: Source, digests: np.ndarray) -> np.ndarray:
    """Returns what `TrainedOn` holds of a source."""
    labels = np.asarray(source.labels, np.int64)
    # Without the folder of the split, so that an image that was moved from one to another is known again.
    names = [name.partition("/")[2] if name.partition("/")[0] in SPLITS else name for name in source.names]
    return np.stack([image_store.name_digests(names), labels, digests], axis=1)


def _changes(before: np.ndarray, now: np.ndarray, names: Sequence[str]) -> list[str]:
    """Says what differs between the images that were trained on, int64 [M, 3], and those of now, int64 [N, 3]."""
    is_known = np.isin(now[:, 0], before[:, 0])
    rows = np.argsort(before[:, 0])
    rows = rows[np.searchsorted(before[:, 0], now[is_known, 0], sorter=rows)]  # of each image that is there still
    is_relabelled, is_replaced = np.zeros([2, len(now)], bool)
    is_relabelled[is_known], is_replaced[is_known] = (now[is_known] != before[rows]).T[1:]
    kinds = {"have other pixels": is_replaced, "have another class": is_relabelled, "are new": ~is_known}
    changes = [f"{rows.sum()} {kind} ({_first_names(names, rows)})" for kind, rows in kinds.items() if rows.any()]
    missing = len(before) - int(is_known.sum())
    changes += [f"{missing} are missing"] if missing else []
    return changes or ([] if np.array_equal(before, now) else ["they are in another order"])


def _first_names(names: Sequence[str], rows: np.ndarray) -> str:
    """Returns the first names of some rows, and how many more there are."""
    chosen = np.flatnonzero(rows)
    more = f" and {len(chosen) - _NAMED} more" if len(chosen) > _NAMED else ""
    return ", ".join(names[index] for index in chosen[:_NAMED]) + more
