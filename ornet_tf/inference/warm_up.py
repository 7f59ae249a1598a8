"""Writes warm-up requests, which TensorFlow Serving answers before it offers a version to callers.

The first run of a graph allocates memory and builds kernels; the requests keep callers from waiting for it. The file
holds PredictionLog messages. They are encoded here, so that exporting does not need tensorflow-serving-api.
"""
from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ornet_tf import atomic_write
from ornet_tf.errors import UserError

PATH = os.path.join("assets.extra", "tf_serving_warmup_requests")  # fixed by TensorFlow Serving
# A single image, and the largest batch that serving/deploy/batching_parameters.txt allows.
BATCH_SIZES = (1, 8)
_HEIGHT, _WIDTH = 240, 320

# Field numbers of tensorflow_serving/apis: prediction_log.proto, predict.proto, model.proto.
_LOG_PREDICT = 6
_PREDICT_REQUEST = 1
_REQUEST_MODEL_SPEC, _REQUEST_INPUTS = 1, 2
_MODEL_SPEC_SIGNATURE_NAME = 3
_MAP_KEY, _MAP_VALUE = 1, 2
_LENGTH_DELIMITED = 2  # the wire type of strings and messages


def write(path: str, batch_sizes: Sequence[int] = BATCH_SIZES) -> None:
    """Writes a request for each signature and batch size into the SavedModel's folder `path`.

    Signatures and their inputs are read from the SavedModel. A failing request would keep TensorFlow Serving from
    loading the version, so inputs of another type are an error here.

    Args:
      path: the folder of one version.
      batch_sizes: numbers of images.

    Raises:
      UserError: if a signature takes anything but encoded images, string [N], or pixels, uint8 [N, H, W, 3].
      OSError: if the SavedModel can't be read or the requests can't be written.
    """
    requests = [
        prediction_log(name, {key: _image_batch(name, key, info, size) for key, info in inputs.items()})
        for name, inputs in _signatures(path)
        for size in batch_sizes
    ]
    file = os.path.join(path, PATH)
    with atomic_write.explain_failures(f"The warm-up requests could not be written to {file}"):
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with tf.io.TFRecordWriter(file) as writer:
            for request in requests:
                writer.write(request)


def prediction_log(signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    """Returns a serialized PredictionLog with a PredictRequest.

    The request names no model; the version that is being loaded answers it.

    Args:
      signature: the name of the signature.
      inputs: the tensors by name; string tensors are arrays of dtype object that hold bytes.
    """
    request = _field(_REQUEST_MODEL_SPEC, _field(_MODEL_SPEC_SIGNATURE_NAME, signature.encode()))
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(_REQUEST_INPUTS, _field(_MAP_KEY, name.encode()) + _field(_MAP_VALUE, tensor))
    return _field(_LOG_PREDICT, _field(_PREDICT_REQUEST, request))


def _signatures(path: str) -> list[tuple[str, dict]]:
    """Returns the name and the inputs of each signature; skips those without inputs, which initialize the graph."""
    saved = saved_model_pb2.SavedModel()
    with open(os.path.join(path, "saved_model.pb"), "rb") as file:
        saved.ParseFromString(file.read())
    definitions = saved.meta_graphs[0].signature_def
    return [(name, dict(definitions[name].inputs)) for name in sorted(definitions) if definitions[name].inputs]


def _image_batch(signature: str, name: str, info, size: int) -> np.ndarray:
    """Returns a batch of images for an input: files, alternately JPEG and PNG, or pixels."""
    dtype = tf.as_dtype(info.dtype)
    shape = tf.TensorShape(info.tensor_shape)
    pixels = _gradient_image()
    if dtype == tf.string and shape.rank == 1:
        files = (tf.io.encode_jpeg(pixels).numpy(), tf.io.encode_png(pixels).numpy())
        return np.array([files[i % len(files)] for i in range(size)], object)
    if dtype == tf.uint8 and shape.is_compatible_with([size, *pixels.shape]):
        return np.stack([pixels] * size)
    raise UserError(
        f"Expected encoded images (string [N]) or pixels (uint8 [N, H, W, 3]) as input {name!r} of the signature "
        f"{signature!r}, but it takes {dtype.name} {shape}; add this type to ornet_tf/inference/warm_up.py."
    )


def _gradient_image() -> np.ndarray:
    """Returns a synthetic image that compresses like a photograph: uint8 [240, 320, 3]."""
    rows, columns = np.mgrid[:_HEIGHT, :_WIDTH]
    channels = [rows * 255 // _HEIGHT, columns * 255 // _WIDTH, (rows + columns) * 255 // (_HEIGHT + _WIDTH)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _field(number: int, content: bytes) -> bytes:
    """Returns a length-delimited field of a protocol buffer: key, length, content."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Returns a protocol buffer's variable-length integer."""
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)  # 7 bits per byte, the lowest first; the high bit marks that more follow
        value >>= 7
    return bytes([*groups, value])
