"""The graph from encoded images to boxes, which prediction runs and export saves."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
from ml_collections import ConfigDict

from ornet_tf import build
from ornet_tf.compat import tf_variable
from ornet_tf.data import decoding, file_checks, loading, transforms
from ornet_tf.errors import UserError
from ornet_tf.inference import labelled_method, threshold
from ornet_tf.maps import box_scores, boxes
from ornet_tf.methods import Method, predicted_classes, score_map
from ornet_tf.models import winograd
from ornet_tf.models.shared_passes import SharedPasses
from ornet_tf.runs import training_data

NO_CLASS = -1


class Localizer(tf.Module):
    """A trained method between image decoding (with the evaluation view) and the box rule.

    Output names and the order of box coordinates are those of TensorFlow's Object Detection API.
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
        split_boxes: bool = False,
        min_box_score: float = 0.0,
        max_bytes: int = file_checks.MAX_BYTES,
        max_pixels: int = file_checks.MAX_PIXELS,
        for_cpu: bool | None = None,
    ):
        """Creates the graph's parts.

        Args:
          method: the trained method. Its weights must not change.
          class_names: of the K classes.
          resize: config.input.resize, in pixels.
          crop: config.input.crop, in pixels.
          threshold: on the activation map, 0..1.
          box_rule: config.evaluation.box_rule; used if `max_boxes` is 1 and `split_boxes` is False.
          max_boxes: config.export.max_boxes, the number M of box rows.
          split_boxes: config.export.split_boxes.
          min_box_score: config.export.min_box_score.
          max_bytes: the largest file that is read.
          max_pixels: the largest height x width that is decoded.
          for_cpu: whether convolutions take the way that is faster on CPUs; see `winograd.enable`. Both ways run on any
            device.
        """
        super().__init__(name="localizer")
        self._method, self._passes = method, SharedPasses()
        self._kernels, self._for_cpu = winograd.MappedKernels(), for_cpu
        # A SavedModel holds the variables that this module tracks. Keras 3 wraps each TensorFlow variable in its own.
        # Tracking the wrappers, or models that hold them, would save each variable twice, and TensorFlow Serving would
        # restore copies that no graph reads. The same holds for layers that only training needs, such as the
        # auxiliary head, for parts whose passes are those of an equal part, and for kernels that are mapped.
        self._weights = self._variables_read(crop)
        self._class_names = tf.constant(list(class_names))
        self._resize, self._crop = resize, crop
        self._threshold, self._box_rule = threshold, box_rule
        self._max_boxes, self._split_boxes, self._min_box_score = max_boxes, split_boxes, min_box_score
        self._limits = {"max_bytes": max_bytes, "max_pixels": max_pixels}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")], autograph=False)
    def localize(self, image_bytes):
        """Finds the objects in each image.

        A file that can't be read affects its own row only: the row has no detections. Boxes with a lower score than
        `min_box_score` are left out, and those after them move up, so an image that was read may have no detection
        either. Unused rows have the coordinates 0, the scores 0, the class -1 and an empty name.

        Args:
          image_bytes: string [N], JPEG or PNG files; N may be 0.

        Returns:
          detection_boxes: float32 [N, M, 4], [ymin, xmin, ymax, xmax] in fractions of the upright original image; for
            M > 1 those of the largest components or their parts, the largest first.
          detection_box_scores: float32 [N, M], how sure the box is, 0..1; see `box_scores.stability`.
          detection_scores: float32 [N, M], the probability of the class.
          detection_classes: int64 [N, M], the label, counted from 0.
          detection_class_names: string [N, M].
          num_detections: int64 [N].
          status: string [N], empty, or the reason why the file can't be read.
          activation_map: float32 [N, h, w] in 0..1, over the evaluation view; zeros for a file that can't be read.
        """
        views, status = self._decode_views(image_bytes)
        return self.localize_views(views, status)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image_tensor")], autograph=False
    )
    def localize_pixels(self, image_tensor):
        """Finds the objects in decoded, upright images, uint8 [N, H, W, 3]; returns what `localize` returns."""
        shape = tf.TensorSpec([self._crop, self._crop, 3], tf.float32)
        views = tf.map_fn(self.to_view, image_tensor, fn_output_signature=shape)
        return self.localize_views(views, tf.fill(tf.shape(image_tensor)[:1], ""))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")], autograph=False)
    def localize_boxes(self, image_bytes):
        """Finds boxes without classes; layers that only the classes need do not run.

        Returns:
          detection_boxes, detection_box_scores, num_detections and status; see `localize`.
        """
        views, status = _pad_empty_batch(*self._decode_views(image_bytes))
        boxes_and_counts = self._boxes(self._predict(views), status)
        return _keep_rows({**boxes_and_counts, "status": status}, tf.size(image_bytes))

    def _predict(self, views):
        convolutions = winograd.enable(self._kernels, for_cpu=self._for_cpu, in_inference=True)
        with self._passes.enable(), convolutions:
            return self._method.predict(views)

    def _variables_read(self, side: int) -> list[tf.Variable]:
        """Returns TensorFlow's variables that a prediction reads."""
        # A separate trace: the functions above are traced when they are first called or saved, and those traces are
        # final.
        views = tf.TensorSpec([None, side, side, 3], tf.float32)
        predict = tf.function(self._predict, input_signature=[views], autograph=False)
        captured = {id(tensor) for tensor in predict.get_concrete_function().captured_inputs}
        weights = [tf_variable(weight) for part in self._method.parts.values() for weight in part.weights]
        return [weight for weight in [*weights, *self._kernels.variables] if id(weight.handle) in captured]

    def _view(self) -> transforms.View:
        return transforms.evaluation_view(resize=self._resize, crop=self._crop)

    def to_view(self, image, frame=None):
        """Returns the evaluation view, float32 [crop, crop, 3], of pixels and frame, see `transforms.apply`."""
        return transforms.apply(image, self._view(), resize=self._resize, crop=self._crop, frame=frame)

    def _decode_views(self, image_bytes):
        """Returns the evaluation views, float32 [N, crop, crop, 3], and the status of each file, string [N]."""
        shape = [self._crop, self._crop, 3]
        return decoding.decode_each(image_bytes, self.to_view, shape, target_side=self._resize, **self._limits)

    def decode(self, image_bytes):
        """Decodes one file, scalar string, as `localize` does; see `decoding.decode_scaled` for the result."""
        return decoding.decode_scaled(image_bytes, target_side=self._resize, **self._limits)

    def _boxes(self, predicted, status):
        """Returns detection_boxes, detection_box_scores and num_detections."""
        activation_map = predicted["activation_map"]
        scored_map = score_map(predicted)
        if self._max_boxes > 1 or self._split_boxes:
            split_map = scored_map if self._split_boxes else None
            in_view, count = boxes.find_largest_boxes(
                activation_map, self._threshold, max_boxes=self._max_boxes, split_map=split_map
            )
        else:
            in_view = boxes.find_boxes(activation_map, tf.constant([self._threshold]), rule=self._box_rule)
            count = tf.ones_like(status, tf.int64)
        scores = box_scores.stability(scored_map, in_view, max_components=self._max_boxes)
        is_kept = self._is_detection(count) & tf.equal(status, "")[:, tf.newaxis] & (scores >= self._min_box_score)
        order = tf.argsort(tf.cast(is_kept, tf.int32), direction="DESCENDING", stable=True)
        in_view, scores = (tf.gather(values, order, batch_dims=1) for values in (in_view, scores))
        count = tf.reduce_sum(tf.cast(is_kept, tf.int64), axis=-1)
        is_detection = self._is_detection(count)
        original = tf.clip_by_value(transforms.boxes_out_of_view(in_view, self._view()), 0.0, 1.0)
        return {
            "detection_boxes": tf.where(is_detection[..., tf.newaxis], original, 0.0),
            "detection_box_scores": tf.where(is_detection, scores, 0.0),
            "num_detections": count,
        }

    def _is_detection(self, count):
        """Returns which of the M rows of each image are detections, bool [N, M]."""
        return tf.range(self._max_boxes, dtype=tf.int64) < count[:, tf.newaxis]

    def localize_views(self, views, status):
        """Returns the outputs of `localize` for what `_decode_views` returns."""
        number = tf.size(status)
        views, status = _pad_empty_batch(views, status)
        predicted = self._predict(views)
        outputs = self._boxes(predicted, status)
        is_detection = self._is_detection(outputs["num_detections"])
        probabilities = tf.nn.softmax(tf.cast(predicted["logits"], tf.float32))
        classes = tf.cast(predicted_classes(probabilities), tf.int64)
        is_read = tf.equal(status, "")[:, tf.newaxis, tf.newaxis]
        activation_map = tf.squeeze(tf.cast(predicted["activation_map"], tf.float32), -1)
        outputs.update({
            "detection_scores": tf.where(is_detection, tf.reduce_max(probabilities, axis=-1, keepdims=True), 0.0),
            "detection_classes": tf.where(is_detection, classes[:, tf.newaxis], tf.constant(NO_CLASS, tf.int64)),
            "detection_class_names": tf.where(is_detection, tf.gather(self._class_names, classes)[:, tf.newaxis], ""),
            "status": status,
            "activation_map": tf.where(is_read, activation_map, 0.0),
        })
        return _keep_rows(outputs, number)


def _pad_empty_batch(views: tf.Tensor, status: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns an empty batch padded to one black image, as oneDNN returns wrong shapes for none; others unchanged."""
    row = [1, *views.shape[1:]]
    return tf.cond(tf.size(status) > 0, lambda: (views, status), lambda: (tf.zeros(row), tf.constant(["empty"])))


def _keep_rows(outputs: Mapping[str, tf.Tensor], number: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the first `number` rows of each output, which removes the padding of `_pad_empty_batch`."""
    return {name: value[:number] for name, value in outputs.items()}


def load(
    config: ConfigDict, workdir: str, *, for_cpu: bool | None = None, given: labelled_method.GivenClasses | None = None
) -> Localizer:
    """Returns the localizer of config.export.row with the weights of the run in `workdir`.

    Args:
      config: the experiment.
      workdir: the folder of its run.
      for_cpu: see `Localizer`.
      given: the classes of the images, if they are known; rows with `classes="label"` need them.

    Raises:
      FileNotFoundError: if `workdir` holds no trained run.
      UserError: if the row has no map or no classes, or no threshold was chosen (see `threshold.decide_threshold`).
    """
    class_names = training_data.class_names(workdir)
    build.check_phase_as_row(config, config.export.row, len(class_names), where="config.export.row")
    method = build.trained_method(config, config.export.row, workdir, len(class_names))
    method = method if given is None else labelled_method.LabelledMethod(method, given)
    outputs = method.predict(tf.zeros([1, config.input.crop, config.input.crop, 3]))
    for needed in ("activation_map", "logits"):
        if needed not in outputs:
            raise UserError(
                f"config.export.row: expected a row with an activation map and logits; {config.export.row!r} has no "
                f"{needed}. Choose another row."
            )
    return Localizer(
        method,
        class_names,
        **loading.view_sizes(config),
        threshold=threshold.decide_threshold(config, workdir),
        box_rule=config.evaluation.box_rule,
        **{key: config.export[key] for key in ("max_boxes", "split_boxes", "min_box_score", "max_bytes", "max_pixels")},
        for_cpu=for_cpu,
    )
