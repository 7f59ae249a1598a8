"""The localizer of a run as a model that batches of encoded images are sent to."""
from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from ornet_tf.data import decoding
from ornet_tf.inference import detections, labelled_method, localizer, overlay


class RunModel:
    """The localizer of a run as a `batches.Model`. It has the signature "localize" only, and hands on the images.

    Files are decoded one by one in the calling threads: of the pixels of a large image, only those of the view and of
    the overlay remain.
    """

    def __init__(self, model: localizer.Localizer, crop: int, given: labelled_method.GivenClasses | None = None):
        """Traces the graphs; `given` is the one with which the localizer was loaded, if the classes are known."""

        def localize(views, classes):
            with given.of_batch(classes) if given is not None else contextlib.nullcontext():
                return model.localize_views(views, tf.fill([tf.shape(views)[0]], ""))

        def traced(function, *specs):
            signature = [tf.TensorSpec(*spec) for spec in specs]
            return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()

        self._decode = model.decode
        self._size = traced(decoding.read_size, ([], tf.string))
        self._to_view = traced(model.to_view, ([None, None, 3], tf.uint8), ([4], tf.float32))
        self._localize = traced(localize, ([None, crop, crop, 3],), ([None], tf.int32))

    def localize(
        self, images: Sequence[bytes], *, signature: str, classes: Sequence[int] | None = None
    ) -> list[detections.Detections]:
        """Finds the objects in encoded images; maps and boxes are those of `classes` if the method can."""
        del signature
        read = [self._try_to_read(image) for image in images]
        readable = [
            (one[0], label)
            for one, label in zip(read, classes or [0] * len(read), strict=True)
            if not isinstance(one, str)
        ]
        found = iter(self._localize_views(*zip(*readable)) if readable else [])
        return [
            detections.Detections(np.zeros([0, 4], np.float32), status=one)
            if isinstance(one, str)
            else dataclasses.replace(next(found), decoded=one[1])
            for one in read
        ]

    def _localize_views(self, views: Sequence[tf.Tensor], classes: Sequence[int]) -> list[detections.Detections]:
        outputs = self._localize(tf.stack(views), tf.constant(classes, tf.int32))
        return detections.from_outputs({name: value.numpy() for name, value in outputs.items()}, len(views))

    def _try_to_read(self, encoded: bytes) -> tuple[tf.Tensor, detections.Decoded | None] | str:
        """Returns the view, and the image for the overlay; or why the file can't be read."""
        try:
            return self._read(encoded)
        except MemoryError:
            return "it needs more memory than there is"
        except tf.errors.OpError as error:
            return decoding.refusal_reason(error)

    def _read(self, encoded: bytes) -> tuple[tf.Tensor, detections.Decoded | None]:
        pixels, frame = self._decode(encoded)
        size = tuple(self._size(tf.constant(encoded)).numpy()[::-1].tolist())
        image = overlay.shrink(Image.fromarray(pixels.numpy()), size)
        return self._to_view(pixels, frame), None if image is None else detections.Decoded(image, size)

    def close(self) -> None:
        """Does nothing, as there is no connection."""
