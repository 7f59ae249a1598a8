"""The classes and training images of a run. Once the run has a checkpoint, it can't be resumed with others.

`data.json` has the classes and the number of images. `training_images.npz` has 24 bytes per image: digests of its name
and pixels, and its label. So a run can be copied to another machine, with its images, and resumed there.
"""
from __future__ import annotations

import os
import typing
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from ornet_tf import atomic_write, renamed
from ornet_tf.data import image_store
from ornet_tf.data.checked_images import Checked
from ornet_tf.data.source import SPLITS, Source
from ornet_tf.errors import UserError
from ornet_tf.runs import checkpoints, run_folder

_FILE, _IMAGES = "data.json", "training_images.npz"  # in the workdir
_MAX_NAMES = 3  # in an error message
_MAX_SHARED = 0.1  # no official test set shares this fraction of its images with the training set


class TrainingImages(typing.NamedTuple):
    """The N training images of a run.

    Attributes:
      images: int64 [N, 3]: digest of the name, label, digest of the pixels.
      fingerprint: the fingerprint of the files when the pixels were last compared.
    """

    images: np.ndarray
    fingerprint: str = ""


def bind(workdir: str, checked: Checked, phases: Sequence[str]) -> None:
    """Stores the classes and training images. If a phase has a checkpoint, checks them against the stored ones instead.

    Pixels are compared if the path, size or modification time of a file has changed. A file is not compared if its
    content was replaced but all three are the same.

    Args:
      workdir: the run's folder.
      checked: the training split.
      phases: the names of the run's phases.

    Raises:
      UserError: if the run was started with other data. Labels and the length of epochs would change their meaning.
    """
    path, source = os.path.join(workdir, _FILE), checked.source
    data = {"training_images": len(source), "class_names": list(source.class_names)}
    learned = any(checkpoints.latest_checkpoint(os.path.join(workdir, phase)) for phase in phases)
    before = read(workdir) if learned and os.path.exists(path) else data
    images = read_images(workdir)
    if learned and images is None and os.path.exists(path):
        logging.info("%s is of a version that did not store training images; they are stored now.", workdir)
    is_unchanged = images is not None and (images.fingerprint, len(images.images)) == (checked.fingerprint, len(source))
    digests = images.images[:, 2] if is_unchanged else checked.digests
    now = _describe_images(source, image_store.measure(source).digests if digests is None else digests)
    changes = _changes(images.images, now, source.names) if learned and images is not None else []
    if before != data or changes:
        raise UserError(
            f"The training data has changed since this run was started ({before['training_images']} images of "
            f"{len(before['class_names'])} classes then, {len(source)} of {len(source.class_names)} now): "
            f"{'; '.join(changes) or 'other class names'}. Restore the training data, or use another --workdir than "
            f"{workdir}."
        )
    if not learned or not is_unchanged:
        write_images(workdir, TrainingImages(now, checked.fingerprint))
    if not learned or not os.path.exists(path):
        run_folder.write_json(path, data)


def inherit(workdir: str, origin: str) -> None:
    """Copies the classes and training images of the run `origin`, unless `workdir` has its own."""
    if not os.path.exists(os.path.join(workdir, _FILE)) and os.path.exists(os.path.join(origin, _FILE)):
        images = read_images(origin)
        if images is not None:
            write_images(workdir, images)
        run_folder.write_json(os.path.join(workdir, _FILE), read(origin))


def read_images(workdir: str) -> TrainingImages | None:
    """Returns the stored training images; None for a run of a version that did not store them.

    Raises:
      UserError: if the file is damaged.
    """
    path = os.path.join(workdir, _IMAGES)
    if not os.path.exists(path):
        return None
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return TrainingImages(stored["images"].reshape(-1, 3), str(stored["fingerprint"]))
    except atomic_write.UNREADABLE as error:
        raise UserError(f"{path} can't be read ({error}). Restore it from a backup or remove it.") from error


def write_images(workdir: str, images: TrainingImages) -> None:
    """Stores the training images of a run.

    Raises:
      OSError: if they can't be written.
    """
    with atomic_write.open_file(os.path.join(workdir, _IMAGES)) as file:
        np.savez(file, **images._asdict())


def check_not_trained_on(workdir: str, split: str, checked: Checked) -> int | None:
    """Checks that the images of an evaluated split are not training images of the run.

    An image is refused if a training image has the same pixels and the same name, apart from the folder of the split.
    If more than a tenth of the split has the pixels of training images, all of these are refused. Fewer images under
    other names are only counted and logged: official splits have such duplicates. The split "train" is never refused.

    Args:
      workdir: the run's folder.
      split: the name of the split.
      checked: the split, with digests.

    Returns:
      The number of images with the pixels of training images; None if the run has not stored its training images.

    Raises:
      UserError: if images are refused: the split into training and test images has changed since training.
    """
    images = read_images(workdir)
    if images is None:
        logging.warning(
            "%s is of a version that did not store training images: it can't be checked whether images of the %s split "
            "are among them.", workdir, split)
        return None
    now = _describe_images(checked.source, checked.digests)
    # Name and pixels together: two splits may number their images alike.
    is_same = np.isin(now[:, 0] ^ now[:, 2], images.images[:, 0] ^ images.images[:, 2])
    is_known = np.isin(now[:, 2], images.images[:, 2])
    of_all, names = f"of {len(now)} images of the {split} split", checked.source.names
    is_refused = is_known if is_known.mean() > _MAX_SHARED else is_same
    if is_refused.any() and split != "train":
        raise UserError(
            f"{is_refused.sum()} {of_all} are training images of the run in {workdir}: "
            f"{_first_names(names, is_refused)}. Split the data as for training (config.dataset.options), or train "
            "again in another --workdir."
        )
    if is_known.any():
        first = _first_names(names, is_known)
        logging.warning("%d %s have the pixels of training images: %s.", is_known.sum(), of_all, first)
    return int(is_known.sum())


def read(workdir: str) -> dict[str, Any]:
    """Returns the content of data.json: "training_images", their number, and "class_names".

    Raises:
      FileNotFoundError: if nothing was trained in `workdir`.
    """
    path = os.path.join(workdir, _FILE)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is missing: expected the --workdir of an ornet_tf.train run.")
    return run_folder.read_json(path, update=renamed.update_data)


def class_names(workdir: str) -> list[str]:
    """Returns the class names of a run.

    Raises:
      FileNotFoundError: if nothing was trained in `workdir`.
    """
    return read(workdir)["class_names"]


def _describe_images(source: Source, digests: np.ndarray) -> np.ndarray:
    """Returns `TrainingImages.images` for a source."""
    labels = np.asarray(source.labels, np.int64)
    # Without the folder of the split, so that an image that was moved to another split is recognized.
    names = [name.partition("/")[2] if name.partition("/")[0] in SPLITS else name for name in source.names]
    return np.stack([image_store.name_digests(names), labels, digests], axis=1)


def _changes(before: np.ndarray, now: np.ndarray, names: Sequence[str]) -> list[str]:
    """Describes the differences between the stored images, int64 [M, 3], and the current ones, int64 [N, 3]."""
    is_known = np.isin(now[:, 0], before[:, 0])
    rows = np.argsort(before[:, 0])
    rows = rows[np.searchsorted(before[:, 0], now[is_known, 0], sorter=rows)]  # of each current image that was stored
    is_relabelled, is_replaced = np.zeros([2, len(now)], bool)
    is_relabelled[is_known], is_replaced[is_known] = (now[is_known] != before[rows]).T[1:]
    kinds = {"have other pixels": is_replaced, "have another class": is_relabelled, "are new": ~is_known}
    changes = [f"{mask.sum()} {kind} ({_first_names(names, mask)})" for kind, mask in kinds.items() if mask.any()]
    missing = len(before) - int(is_known.sum())
    changes += [f"{missing} are missing"] if missing else []
    return changes or ([] if np.array_equal(before, now) else ["they are in another order"])


def _first_names(names: Sequence[str], mask: np.ndarray) -> str:
    """Returns the first names where `mask`, bool [N], is True, and the number of further ones."""
    chosen = np.flatnonzero(mask)
    more = f" and {len(chosen) - _MAX_NAMES} more" if len(chosen) > _MAX_NAMES else ""
    return ", ".join(names[index] for index in chosen[:_MAX_NAMES]) + more
