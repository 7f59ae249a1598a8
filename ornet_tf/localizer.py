"""Encoded pictures in, boxes out: the one graph that prediction runs and export freezes."""
from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import assemble, boxes, images, transforms
from ornet_tf.methods import Protocol


class Localizer(tf.Module):
    """A trained method with the decoding and the evaluation view in front and the box rule behind it."""

    def __init__(
        self,
        method: Protocol,
        class_names: Sequence[str],
        *,
        resize: int,
        crop: int,
        threshold: float,
        box_rule: str,
    ):
        """Keeps what it needs; see `ornet_tf.config` for the options."""
        super().__init__(name="localizer")
        self._method = method
        self._parts = dict(method.parts)  # tracked, so that a SavedModel holds their variables
        self._class_names = tf.constant(list(class_names))
        self._resize, self._crop = resize, crop
        self._threshold, self._box_rule = threshold, box_rule

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def localize(self, image_bytes):
        """Finds the object in each picture.

        Args:
          image_bytes: string [N], JPEG or PNG files.

        Returns:
          detection_boxes: float32 [N, 1, 4], [ymin, xmin, ymax, xmax] in fractions of the upright original picture.
          detection_scores: float32 [N, 1], the probability of the class.
          detection_classes: int64 [N, 1], the label, counted from 0.
          detection_class_names: string [N, 1].
          activation_map: float32 [N, h, w] in 0..1, over the evaluation view.

        Raises:
          InvalidArgumentError: if a picture can't be decoded.
        """
        view = transforms.evaluation_view(resize=self._resize, crop=self._crop)

        def read(encoded):
            picture = images.decode(encoded)
            return transforms.apply(picture, view, resize=self._resize, crop=self._crop)

        shape = tf.TensorSpec([self._crop, self._crop, 3], tf.float32)
        outputs = self._method.predict(tf.map_fn(read, image_bytes, fn_output_signature=shape))
        in_view = boxes.from_maps(outputs["activation_map"], tf.constant([self._threshold]), rule=self._box_rule)
        probabilities = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32))
        classes = tf.argmax(probabilities, axis=-1)
        return {
            "detection_boxes": tf.clip_by_value(transforms.boxes_out_of_view(in_view, view), 0.0, 1.0),
            "detection_scores": tf.reduce_max(probabilities, axis=-1, keepdims=True),
            "detection_classes": classes[:, tf.newaxis],
            "detection_class_names": tf.gather(self._class_names, classes)[:, tf.newaxis],
            "activation_map": tf.squeeze(outputs["activation_map"], axis=-1),
        }


def load(config: ConfigDict, workdir: str) -> Localizer:
    """Returns the localizer of config.export.row with the weights of the run in `workdir`.

    Raises:
      FileNotFoundError: if nothing was trained there.
      ValueError: if the row has no map or no classes.
    """
    class_names = assemble.read_class_names(workdir)
    method = assemble.trained_method(config, config.export.row, workdir, len(class_names))
    outputs = method.predict(tf.zeros([1, config.input.crop, config.input.crop, 3]))
    for needed in ("activation_map", "logits"):
        if needed not in outputs:
            raise ValueError(
                f"config.export.row: expected a row with a map and classes, {config.export.row!r} lacks {needed}."
            )
    return Localizer(
        method,
        class_names,
        resize=config.input.resize,
        crop=config.input.crop,
        threshold=config.evaluation.threshold,
        box_rule=config.evaluation.box_rule,
    )
