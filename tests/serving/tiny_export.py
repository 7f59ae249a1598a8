"""Small SavedModels for the tests of what runs next to an export: its contract, and signatures of other types."""
import io
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image

CLASS_NAMES = ("tall", "wide")


class TinyExport(tf.Module):
    """Finds the red pixels; version-dependent numbers come from the variable `offset`."""

    def __init__(self, offset):
        super().__init__()
        self.offset = tf.Variable(offset, dtype=tf.float32)

    def _localize(self, encoded):
        image = tf.io.decode_png(encoded, channels=3)
        red = image[..., 0] > 128
        rows, columns = tf.reduce_any(red, 1), tf.reduce_any(red, 0)
        spans = []
        for line in (rows, columns):
            places = tf.where(line)[:, 0]
            size = tf.cast(tf.size(line), tf.float32)
            spans.append((tf.cast(places[0], tf.float32) / size, tf.cast(places[-1] + 1, tf.float32) / size))
        (ymin, ymax), (xmin, xmax) = spans
        red_map = tf.image.resize(tf.cast(red, tf.float32)[..., None], [4, 4])[..., 0]
        return tf.stack([ymin, xmin, ymax, xmax]), tf.reduce_mean(tf.cast(red, tf.float32)), red_map

    def _outputs(self, image_bytes):
        kinds = (tf.float32, tf.float32, tf.float32)
        boxes, scores, maps = tf.map_fn(self._localize, image_bytes, fn_output_signature=kinds)
        wide = tf.cast(boxes[:, 3] - boxes[:, 1] > boxes[:, 2] - boxes[:, 0], tf.int64)
        return {
            "detection_boxes": boxes[:, None, :],
            "detection_scores": scores[:, None],
            "detection_classes": wide[:, None],
            "detection_class_names": tf.gather(tf.constant(CLASS_NAMES), wide)[:, None],
        }, maps

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_default(self, image_bytes):
        return self._outputs(image_bytes)[0]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def activation_map(self, image_bytes):
        outputs, maps = self._outputs(image_bytes)
        return {**outputs, "activation_map": maps}

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], tf.float32, name="a"), tf.TensorSpec([None], tf.int64, name="b")]
    )
    def numbers(self, a, b):
        return {
            "total": tf.reduce_sum(a, 1) + self.offset,
            "next": b + 1,
            "positive": b > 0,
            "text": tf.strings.join([tf.as_string(b), "°"]),
            "raw_bytes": tf.strings.join([tf.as_string(b), b"\xff"]),
        }

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def whole(self, x):
        return {"y": tf.reduce_sum(x) / 3.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="x")])
    def checked(self, x):
        with tf.control_dependencies([tf.debugging.assert_equal(x, tf.constant(b"\xff"))]):
            return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="x")])
    def echo(self, x):
        return {"y": tf.strings.substr(x, 0, 1, unit="BYTE")}

    @tf.function(input_signature=[tf.TensorSpec([1], tf.int64, name="rounds")])
    def spin(self, rounds):
        done = tf.ones([64, 64])
        for _ in tf.range(rounds[0]):
            done = tf.linalg.matmul(done, done) / 64.0
        return {"y": done[:1, 0]}


def write(path, *, offset=0.0):
    """Saves a version into the folder `path`."""
    module = TinyExport(offset)
    names = ("serving_default", "activation_map", "numbers", "whole", "checked", "echo", "spin")
    tf.saved_model.save(module, str(path), signatures={name: getattr(module, name) for name in names})


def image(height, width, box):
    """Returns a black PNG with a red rectangle: ymin, xmin, ymax, xmax in pixels, half-open."""
    pixels = np.zeros([height, width, 3], np.uint8)
    pixels[box[0] : box[2], box[1] : box[3], 0] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_image(path, height, width, box):
    """Writes `image` to a file and returns its path as text."""
    pathlib.Path(path).write_bytes(image(height, width, box))
    return str(path)
