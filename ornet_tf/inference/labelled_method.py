"""A trained method whose maps are those of given classes, for images whose labels are known."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from ornet_tf import methods


class GivenClasses:
    """The classes of the batch for which a graph is traced."""

    def __init__(self) -> None:
        self._classes: tf.Tensor | None = None

    @contextlib.contextmanager
    def of_batch(self, classes: tf.Tensor) -> Iterator[None]:
        """Sets the classes, int32 [B], for the predictions inside."""
        self._classes = classes
        try:
            yield
        finally:
            self._classes = None

    def read(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the classes, int32 [B]; outside of `of_batch` zeros, for traces of which only the shapes count."""
        return tf.zeros(tf.shape(images)[:1], tf.int32) if self._classes is None else self._classes


class LabelledMethod:
    """A method in which `predict` is `methods.predict_with_labels` for the given classes."""

    def __init__(self, method: methods.Method, given: GivenClasses):
        self.parts, self._method, self._given = method.parts, method, given

    def predict(self, images):
        """Returns the prediction for images float32 [B, H, W, 3] in 0..255; see `methods.predict_with_labels`."""
        return methods.predict_with_labels(self._method, images, self._given.read(images))
