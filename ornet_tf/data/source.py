"""Defines `Source`, one split of a data set, which every data set plug-in returns."""
from __future__ import annotations

import collections
import dataclasses
import pathlib
import typing
from collections.abc import Sequence

import numpy as np

from ornet_tf.errors import UserError

SPLITS = ("train", "validation", "test")


class MissingSplit(UserError):
    """A data set, otherwise correct, that lacks the split or has no images in it."""


class Record(typing.NamedTuple):
    """An encoded file that is one record of a TFRecord file.

    Attributes:
      file: the path of the TFRecord file.
      offset: the number of bytes before the record.
      length: the number of bytes of the encoded file, without the 16 bytes that frame it.
    """

    file: str
    offset: int
    length: int


FRAME = (12, 4)  # bytes before and after the content of a record

Encoded = str | bytes | Record


def read_encoded(image: Encoded) -> bytes:
    """Returns the content of an encoded file; see `Source.images`.

    Raises:
      OSError: if the file can't be read.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, str):
        return pathlib.Path(image).read_bytes()
    with open(image.file, "rb") as file:
        file.seek(image.offset + FRAME[0])
        return file.read(image.length)


@dataclasses.dataclass(frozen=True)
class Source:
    """One split of a data set: its images, labels, boxes and masks.

    Attributes:
      class_names: the K class names; label i means `class_names[i]`.
      images: for each of the N images its file path (str), its encoded file (bytes) or its record in a TFRecord file
        (Record); one kind per source.
      names: N short, unique names for reports, such as the path below the data set's folder.
      labels: int32 [N], in 0..K-1.
      boxes: for each image float32 [M_i, 4] (ymin, xmin, ymax, xmax; half-open, in pixels of the upright original
        image); M_i may be 0. None if the split has no boxes. Training never reads them.
      masks: for each image the mask, a JPEG or PNG of the image's size, given as an image is: pixels brighter than half
        of the range are object. An image whose mask file does not exist has no mask. None if the split has no masks.
        Training never reads them.
      images_per_piece: how many images that lie behind each other training reads at once; 0 for one. Only for records.
    """

    class_names: Sequence[str]
    images: Sequence[Encoded]
    names: Sequence[str]
    labels: np.ndarray
    boxes: Sequence[np.ndarray] | None = None
    masks: Sequence[Encoded] | None = None
    images_per_piece: int = 0

    def __post_init__(self):
        count = len(self.images)
        for field in ("names", "labels", "boxes", "masks"):
            value = getattr(self, field)
            if value is not None and len(value) != count:
                raise ValueError(f"Source.{field} has {len(value)} entries for {count} images.")
        if len(set(self.names)) != count:  # broken images are left out by their names
            twice = next(name for name, times in collections.Counter(self.names).items() if times > 1)
            raise UserError(f"The data set: expected each image name once in a split, got {twice!r} twice.")
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
            images_per_piece=self.images_per_piece,
        )

    def padded_boxes(self) -> np.ndarray:
        """Returns the boxes padded with zeros: float32 [N, M, 4]; M is the largest number of an image, at least 1."""
        boxes = self.boxes if self.boxes is not None else [()] * len(self)
        padded = np.zeros([len(self), max([len(rows) for rows in boxes] + [1]), 4], np.float32)
        for row, image_boxes in zip(padded, boxes):
            row[: len(image_boxes)] = np.reshape(image_boxes, [-1, 4])
        return padded
