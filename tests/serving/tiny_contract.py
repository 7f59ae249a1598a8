"""A small SavedModel with the signatures of an export: several boxes, a status for each image, maps as PNG files."""
import contextlib

import numpy as np
import tensorflow as tf

from serving.rest_client import RestModel
from tests.serving import tiny_export
from tests.signatures import BOXES_ONLY

DAMAGED = "neither JPEG nor PNG"
ATTEMPTS = 2  # the second one follows at once
_KINDS = (tf.float32, tf.float32, tf.int64, tf.string, tf.float32)


class TinyContract(tf.Module):
    """Finds the red and the green pixels, red first; a colour that is missing is no object."""

    def _find(self, image):
        boxes, scores, classes = [], [], []
        for channel in range(2):
            mask = image[..., channel] > 128
            edges = []
            for line in (tf.reduce_any(mask, 1), tf.reduce_any(mask, 0)):
                places = tf.cast(tf.where(line)[:, 0], tf.float32)
                size = tf.cast(tf.size(line), tf.float32)
                edges.append((tf.reduce_min(places) / size, (tf.reduce_max(places) + 1) / size))
            boxes.append(tf.stack([edges[0][0], edges[1][0], edges[0][1], edges[1][1]]))
            scores.append(tf.reduce_mean(tf.cast(mask, tf.float32)))
            classes.append(tf.constant(channel, tf.int64))
        kept = tf.where(tf.stack(scores) > 0)[:, 0]
        padding = 2 - tf.size(kept)
        boxes = tf.pad(tf.gather(tf.stack(boxes), kept), [[0, padding], [0, 0]])
        scores = tf.pad(tf.gather(tf.stack(scores), kept), [[0, padding]])
        classes = tf.pad(tf.gather(tf.stack(classes), kept), [[0, padding]], constant_values=-1)
        red_map = tf.image.resize(tf.cast(image[..., :1], tf.float32) / 255.0, [4, 6])[..., 0]
        return [tf.ensure_shape(boxes, [2, 4]), scores, classes, tf.constant(""), red_map]

    def _nothing(self):
        classes = tf.fill([2], tf.constant(-1, tf.int64))
        return [tf.zeros([2, 4]), tf.zeros([2]), classes, tf.constant(DAMAGED), tf.zeros([4, 6])]

    def _outputs(self, image_bytes):
        def row(encoded):
            is_png = tf.equal(tf.strings.substr(encoded, 0, 4), b"\x89PNG")
            return tuple(tf.cond(is_png, lambda: self._find(tf.io.decode_png(encoded, channels=3)), self._nothing))

        return self._named(*tf.map_fn(row, image_bytes, fn_output_signature=_KINDS))

    def _named(self, boxes, scores, classes, status, maps):
        return {
            "detection_boxes": tf.ensure_shape(boxes, [None, 2, 4]),
            "detection_box_scores": tf.sqrt(scores),
            "detection_scores": scores,
            "detection_classes": classes,
            "detection_class_names": tf.gather(tf.constant(["", "rød", "green"]), classes + 1),
            "num_detections": tf.reduce_sum(tf.cast(classes >= 0, tf.int64), 1),
            "status": status,
        }, maps

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_default(self, image_bytes):
        return self._outputs(image_bytes)[0]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def activation_map(self, image_bytes):
        outputs, maps = self._outputs(image_bytes)
        grey = tf.cast(tf.round(maps * 255.0), tf.uint8)[..., None]
        return {**outputs, "activation_map_bytes": tf.map_fn(tf.io.encode_png, grey, fn_output_signature=tf.string)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def activation_map_float(self, image_bytes):
        outputs, maps = self._outputs(image_bytes)
        return {**outputs, "activation_map": maps}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def localize(self, image_bytes):
        outputs = self._outputs(image_bytes)[0]
        return {name: outputs[name] for name in BOXES_ONLY}

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image_tensor")])
    def image_tensor(self, image_tensor):
        rows = tf.map_fn(lambda image: tuple(self._find(image)), image_tensor, fn_output_signature=_KINDS)
        return self._named(*rows)[0]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def large(self, image_bytes):
        outputs, maps = self._outputs(image_bytes)
        return {**outputs, "activation_map": tf.tile(maps, [1, 250, 250])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def numbers(self, x):
        return {"y": x}


SIGNATURES = ("serving_default", "activation_map", "activation_map_float", "localize")


def write(path):
    """Saves a version into the folder `path`."""
    module = TinyContract()
    names = (*SIGNATURES, "image_tensor", "large", "numbers")
    tf.saved_model.save(module, str(path), signatures={name: getattr(module, name) for name in names})


def images():
    """Returns images of every kind: one object, bytes that are no image, two objects, none, another size."""
    both = np.zeros([20, 30, 3], np.uint8)
    both[3:9, 6:27, 0] = 255
    both[11:20, 1:2, 1] = 200
    one = tiny_export.image(40, 60, (10, 12, 20, 48))
    return [one, b"no image", both, np.zeros([8, 8, 3], np.uint8), tiny_export.image(64, 32, (0, 8, 64, 16))]


def expect_same(actual, expected):
    """Fails unless two lists of results hold the same numbers, types and texts."""
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected):
        assert (one.class_names, one.status) == (other.class_names, other.status)
        for name in ("boxes", "box_scores", "scores", "classes", "activation_map"):
            values = [getattr(result, name) for result in (one, other)]
            assert len({None if value is None else value.dtype for value in values}) == 1, name
            np.testing.assert_array_equal(*values, err_msg=name)


@contextlib.contextmanager
def rest_model(url, **options):
    """Yields a client that does not wait between attempts."""
    with contextlib.closing(RestModel(url, **{"attempts": ATTEMPTS, **options})) as model:
        yield model
