"""Encoded images in, boxes out: the one graph that prediction runs and export freezes."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import build
from ornet_tf.compat import tf_variable
from ornet_tf.data import decoding, file_checks, transforms
from ornet_tf.errors import UserError
from ornet_tf.inference import threshold
from ornet_tf.maps import boxes
from ornet_tf.methods import Method, predicted_classes
from ornet_tf.runs import training_data

NO_CLASS = -1


class Localizer(tf.Module):
    """A trained method with the decoding and the evaluation view in front and the box rule behind it.

    Names and order of boxes are those of TensorFlow's Object Detection API.
    """

    def __init__(
        self,
        method: Method,
        class_names: Sequence[str],
        *,
        resize: int,
        crop: int,
        threshold: float,
        box_rule: str,
        max_boxes: int = 1,
        max_bytes: int = file_checks.MAX_BYTES,
        max_pixels: int = file_checks.MAX_PIXELS,
    ):
        """Keeps what it needs; see `ornet_tf.config` for the options."""
        super().__init__(name="localizer")
        self._method = method
        # What a SavedModel holds: TensorFlow's variables. Keras 3 wraps each in one of its own; if the wrappers, or
        # models that have them, are tracked, each is saved twice, and TensorFlow Serving restores what no graph reads.
        # Parts that only training needs, such as the object prior's direction, are left out for the same reason.
        self._weights = _weights_read(method, crop)
        self._class_names = tf.constant(list(class_names))
        self._resize, self._crop = resize, crop
        self._threshold, self._box_rule, self._max_boxes = threshold, box_rule, max_boxes
        self._limits = {"max_bytes": max_bytes, "max_pixels": max_pixels}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def localize(self, image_bytes):
        """Finds the objects in each image.

        A file that can't be read costs its own row only: no detections, class -1 without a name, score 0, zeros.
        Rows beyond the number of detections look the same.

        Args:
          image_bytes: string [N], JPEG or PNG files; N may be 0.

        Returns:
          detection_boxes: float32 [N, M, 4], [ymin, xmin, ymax, xmax] in fractions of the upright original image;
            several are those of the largest components, the largest first.
          detection_scores: float32 [N, M], the probability of the class.
          detection_classes: int64 [N, M], the label, counted from 0.
          detection_class_names: string [N, M].
          num_detections: int64 [N].
          status: string [N], empty, or why the file can't be read.
          activation_map: float32 [N, h, w] in 0..1, over the evaluation view.
        """
        views, status = self._views_of_files(image_bytes)
        return self._with_classes(views, status)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image_tensor")])
    def localize_pixels(self, image_tensor):
        """Does what `localize` does for images that are decoded and upright, uint8 [N, H, W, 3]; status is empty."""
        shape = tf.TensorSpec([self._crop, self._crop, 3], tf.float32)
        views = tf.map_fn(self._seen, image_tensor, fn_output_signature=shape)
        return self._with_classes(views, tf.fill(tf.shape(image_tensor)[:1], ""))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def locate(self, image_bytes):
        """Does what `localize` does without the classes: layers that only these need do not run.

        Returns:
          detection_boxes, num_detections and status; see `localize`.
        """
        views, status = _at_least_one(*self._views_of_files(image_bytes))
        found = self._boxes(self._method.predict(views)["activation_map"], status)
        return _first({**found, "status": status}, tf.size(image_bytes))

    def _view(self) -> transforms.View:
        return transforms.evaluation_view(resize=self._resize, crop=self._crop)

    def _seen(self, image):
        return transforms.apply(image, self._view(), resize=self._resize, crop=self._crop)

    def _views_of_files(self, image_bytes):
        return decoding.decode_each(image_bytes, self._seen, [self._crop, self._crop, 3], **self._limits)

    def _boxes(self, activation_map, status):
        """Returns detection_boxes and num_detections."""
        if self._max_boxes > 1:
            in_view, count = boxes.find_largest_boxes(activation_map, self._threshold, max_boxes=self._max_boxes)
        else:
            in_view = boxes.find_boxes(activation_map, tf.constant([self._threshold]), rule=self._box_rule)
            count = tf.ones_like(status, tf.int64)
        count = tf.where(tf.equal(status, ""), count, tf.constant(0, tf.int64))
        found = tf.clip_by_value(transforms.boxes_out_of_view(in_view, self._view()), 0.0, 1.0)
        found = tf.where(self._is_there(count)[..., tf.newaxis], found, 0.0)
        return {"detection_boxes": found, "num_detections": count}

    def _is_there(self, count):
        """Returns which of the M rows of each image are detections, bool [N, M]."""
        return tf.range(self._max_boxes, dtype=tf.int64) < count[:, tf.newaxis]

    def _with_classes(self, views, status):
        number = tf.size(status)
        views, status = _at_least_one(views, status)
        outputs = self._method.predict(views)
        found = self._boxes(outputs["activation_map"], status)
        there = self._is_there(found["num_detections"])
        probabilities = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32))
        classes = tf.cast(predicted_classes(probabilities), tf.int64)
        is_read = tf.equal(status, "")[:, tf.newaxis, tf.newaxis]
        found.update({
            "detection_scores": tf.where(there, tf.reduce_max(probabilities, axis=-1, keepdims=True), 0.0),
            "detection_classes": tf.where(there, classes[:, tf.newaxis], tf.constant(NO_CLASS, tf.int64)),
            "detection_class_names": tf.where(there, tf.gather(self._class_names, classes)[:, tf.newaxis], ""),
            "status": status,
            "activation_map": tf.where(is_read, tf.squeeze(tf.cast(outputs["activation_map"], tf.float32), -1), 0.0),
        })
        return _first(found, number)


def _weights_read(method: Method, side: int) -> list[tf.Variable]:
    """Returns TensorFlow's variables of a method that its prediction reads."""
    # A trace of its own: those of the functions above are made, for good, when they are called or saved.
    predict = tf.function(method.predict, input_signature=[tf.TensorSpec([None, side, side, 3], tf.float32)])
    read = {id(tensor) for tensor in predict.get_concrete_function().captured_inputs}
    weights = [tf_variable(weight) for part in method.parts.values() for weight in part.weights]
    return [weight for weight in weights if id(weight.handle) in read]


def _at_least_one(views: tf.Tensor, status: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns views and status of a batch, of one black image if it is empty: oneDNN gives wrong shapes for none."""
    row = [1, *views.shape[1:]]
    return tf.cond(tf.size(status) > 0, lambda: (views, status), lambda: (tf.zeros(row), tf.constant(["empty"])))


def _first(outputs: Mapping[str, tf.Tensor], number: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the first `number` rows of all outputs, which are all of them but for an empty batch."""
    return {name: value[:number] for name, value in outputs.items()}


def load(config: ConfigDict, workdir: str) -> Localizer:
    """Returns the localizer of config.export.row with the weights of the run in `workdir`.

    Raises:
      FileNotFoundError: if nothing was trained there.
      UserError: if the row has no map or no classes, or no threshold was chosen (see `provenance.threshold`).
    """
    class_names = training_data.class_names(workdir)
    method = build.trained_method(config, config.export.row, workdir, len(class_names))
    outputs = method.predict(tf.zeros([1, config.input.crop, config.input.crop, 3]))
    for needed in ("activation_map", "logits"):
        if needed not in outputs:
            raise UserError(
                f"config.export.row: expected a row with a map and classes, {config.export.row!r} lacks {needed}."
            )
    return Localizer(
        method,
        class_names,
        resize=config.input.resize,
        crop=config.input.crop,
        threshold=threshold.decide_threshold(config, workdir),
        box_rule=config.evaluation.box_rule,
        **{key: config.export[key] for key in ("max_boxes", "max_bytes", "max_pixels")},
    )
