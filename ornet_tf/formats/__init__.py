"""Formats of annotation tools. A plug-in defines `write(images, class_names, folder, *, options...) -> None`.

    images        an iterable of `LocalizedImage`, which is read once, image by image
    class_names   of all classes, in the order of the run, as `one_line` gives them
    folder        where the files are written, see `_output.writing`

A plug-in is a pure writer: it neither reads images nor asks a model. All coordinates are those of the upright image,
which is turned as its EXIF orientation says. An image without a box is written too, as the format says it.

Importing a plug-in must not import TensorFlow.
"""
from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable

from absl import flags

from ornet_tf import registry
from ornet_tf.errors import UserError

# What ends a line for some reader, or what XML or YAML can't hold: controls, line separators, lone halves of pairs.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def one_line(name: str) -> str:
    """Returns the name of a class or an image with `_` for each character that some format can't hold in a line."""
    return _UNPRINTABLE.sub("_", name)


def on_disk(file: str) -> str:
    r"""Returns the path of an image for the system: predictions.json has \xNN for bytes that are not UTF-8.

    See `ornet_tf.paths.readable`. The path is returned as it is if it exists so, or if there is no such file either.
    """
    encoded = re.sub(rb"\\x([89a-f][0-9a-f])", lambda match: bytes.fromhex(match[1].decode()), os.fsencode(file))
    path = os.fsdecode(encoded)
    return path if path != file and not os.path.lexists(file) and os.path.lexists(path) else file


@dataclasses.dataclass(frozen=True)
class Box:
    """A box that was found in an image.

    Attributes:
      corners: (ymin, xmin, ymax, xmax) in fractions of the upright image.
      class_index: the position of the class among the class names of the run.
      class_name: its name, as `one_line` gives it.
      score: how sure the box is, 0..1; None if the model gave no score.
      number: counted from 1 over all boxes of the predictions, also over those that are left out.
    """

    corners: tuple[float, float, float, float]
    class_index: int
    class_name: str
    score: float | None
    number: int


@dataclasses.dataclass(frozen=True)
class LocalizedImage:
    """The boxes of an image.

    Attributes:
      file: its path, as predictions.json has it.
      name: its path below the folder that holds all images, with slashes, as `one_line` gives it.
      number: counted from 1 over all images of the predictions, also over those that are left out.
      width: of the upright image, in pixels.
      height: of the upright image, in pixels.
      boxes: in the order of the predictions; may be empty.
    """

    file: str
    name: str
    number: int
    width: int
    height: int
    boxes: tuple[Box, ...] = ()

    def pixels(self, box: Box) -> tuple[float, float, float, float]:
        """Returns xmin, ymin, xmax, ymax of a box in pixels, half-open, not rounded."""
        ymin, xmin, ymax, xmax = box.corners
        return xmin * self.width, ymin * self.height, xmax * self.width, ymax * self.height


def are_known(names: Iterable[str]) -> bool:
    """Returns True if all names are formats: a validator of flags.

    Raises:
      flags.ValidationError: if a name is unknown; the message lists the choices.
    """
    try:
        for name in names:
            registry.find("formats", name, where="--format")
    except UserError as error:
        raise flags.ValidationError(str(error)) from error
    return True
