"""One split of a data set: `Source`, which every data set plug-in returns."""
from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from ornet_tf.errors import UserError

SPLITS = ("train", "validation", "test")


class MissingSplit(UserError):
    """The data set is all right but has no such split, or no images in it."""


@dataclasses.dataclass(frozen=True)
class Source:
    """One split of a data set: where its images are and what is known of them.

    Attributes:
      class_names: the K class names; label i means `class_names[i]`.
      images: for each of the N images its file path (str) or its encoded file (bytes); one kind per source.
      names: N short, unique names for reports, such as the path below the data set's folder.
      labels: int32 [N].
      boxes: for each image float32 [M_i, 4] (ymin, xmin, ymax, xmax; half-open, in pixels of the upright original
        image); M_i may be 0. None where the split has no boxes. Training never reads them.
      masks: for each image the path (str) or the encoded file (bytes) of a mask, JPEG or PNG of the image's shape:
        what is brighter than half of the range is object. An image whose path names no file has none. None where the
        split has none. Training never reads them.
    """

    class_names: Sequence[str]
    images: Sequence[str | bytes]
    names: Sequence[str]
    labels: np.ndarray
    boxes: Sequence[np.ndarray] | None = None
    masks: Sequence[str | bytes] | None = None

    def __post_init__(self):
        count = len(self.images)
        for field in ("names", "labels", "boxes", "masks"):
            value = getattr(self, field)
            if value is not None and len(value) != count:
                raise ValueError(f"Source.{field} has {len(value)} entries for {count} images.")
        if len(set(self.names)) != count:  # images that can't be used are left out by their names
            twice = next(name for name, times in collections.Counter(self.names).items() if times > 1)
            raise UserError(f"The data set names the image {twice!r} twice: expected each name once in a split.")
        if count and not 0 <= int(np.min(self.labels)) <= int(np.max(self.labels)) < len(self.class_names):
            raise ValueError(f"Source.labels must lie in 0..{len(self.class_names) - 1}.")

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: Sequence[int]) -> Source:
        """Returns the source of the given images, in the given order."""
        return Source(
            class_names=self.class_names,
            images=[self.images[i] for i in indices],
            names=[self.names[i] for i in indices],
            labels=np.asarray(self.labels)[np.asarray(indices, np.int64)],
            boxes=None if self.boxes is None else [self.boxes[i] for i in indices],
            masks=None if self.masks is None else [self.masks[i] for i in indices],
        )

    def padded_boxes(self) -> np.ndarray:
        """Returns the boxes in pixels, padded with zeros: float32 [N, M, 4], M the most of an image and at least 1."""
        boxes = self.boxes if self.boxes is not None else [()] * len(self)
        padded = np.zeros([len(self), max([len(rows) for rows in boxes] + [1]), 4], np.float32)
        for row, some in zip(padded, boxes):
            row[: len(some)] = np.reshape(some, [-1, 4])
        return padded
