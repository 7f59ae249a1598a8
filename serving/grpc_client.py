"""A model behind TensorFlow Serving's gRPC API.

Needs the package tensorflow-serving-api, which brings the messages and TensorFlow; nothing else imports it.
"""
from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import numpy as np

import ornet_tf  # noqa: F401 - sets what TensorFlow reads when it is imported
from ornet_tf.errors import MissingPackageError, UserError
from ornet_tf.inference import detections, encoding
from serving import addresses
from serving.errors import PictureRefusedError, short
from serving.retries import Retries, TemporaryError

try:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
except ImportError as missing:
    raise MissingPackageError(
        f"Expected the package tensorflow-serving-api for a grpc:// address, but {missing}; install it, or "
        "ask over http://."
    ) from missing


class GrpcModel:
    """A model at a gRPC address. Its methods may be called from several threads at once."""

    def __init__(self, address: str, *, timeout: float = 30.0, retries: Retries | None = None):
        """Connects at the first request.

        Args:
          address: grpc://HOST[:PORT]/MODEL[/versions/N], unencrypted; it names no label.
          timeout: seconds for one attempt, from the connection to the whole answer.
          retries: how often and how long to try.

        Raises:
          ValueError: if the address has another form.
        """
        self._address = address
        self._server = addresses.parse_grpc(address)
        self._timeout = timeout
        self._retries = retries or Retries()
        self._closed = threading.Event()
        options = [
            ("grpc.max_receive_message_length", -1),  # 4 MiB otherwise: maps of some pictures are more
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0),  # ours are within one deadline
            ("grpc.enable_http_proxy", int(not addresses.is_loopback(self._server.host))),
            # A server that comes back is found by the next attempt, not after two minutes of gRPC's own back-off.
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        host = f"[{self._server.host}]" if ":" in self._server.host else self._server.host
        self._channel = grpc.insecure_channel(f"{host}:{self._server.port}", options=options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def localize(
        self, images: Sequence[encoding.ImageInput], *, signature: str = "serving_default"
    ) -> list[detections.Detections]:
        """Finds the objects in each picture, in one request; see `ornet_tf.inference.loaded.LoadedModel.localize`.

        Raises:
          OSError: if a file cannot be read.
          TypeError: if something is no picture, or `images` is one; ValueError if its shape is none.
          ConnectionError: if the server cannot be reached.
          TimeoutError: if it does not answer in time.
          PictureRefusedError: a UserError, if it refuses what was sent (INVALID_ARGUMENT).
          UserError: if it refuses for another reason, or answers with something else than detections.
        """
        encoding.check_is_list(images)
        if not images:
            return []
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._server.model
        request.model_spec.signature_name = signature
        if self._server.version is not None:
            request.model_spec.version.value = self._server.version
        encoded = np.array([encoding.encode(image) for image in images], object)
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(encoded, tf.string))
        reply = self._retries.call(
            lambda seconds: self._predict(request, seconds), timeout=self._timeout, closed=self._closed
        )
        with detections.explain_wrong_outputs(self._address):
            return detections.from_outputs(_arrays(reply), len(images))

    def close(self) -> None:
        """Closes the connection: requests under way fail, and whoever waits to try again gives up."""
        self._closed.set()
        self._channel.close()

    def _predict(self, request: predict_pb2.PredictRequest, seconds: float) -> predict_pb2.PredictResponse:
        try:
            return self._stub.Predict(request, timeout=seconds)
        except grpc.RpcError as error:
            raise self._failure(error.code(), short(error.details() or ""), seconds) from None

    def _failure(self, code: grpc.StatusCode, details: str, seconds: float) -> Exception:
        refusal = f"{self._address} refuses with {code.name}: {details}"
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            message = f"No answer from {self._address} within {seconds:g} s; is the server busy?"
            return TemporaryError(TimeoutError, message)
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
            return TemporaryError(UserError, refusal)
        if code == grpc.StatusCode.UNAVAILABLE:
            # A server says so when its queue is full, gRPC itself when there is no server.
            if self._listens():
                return TemporaryError(UserError, refusal)
            message = f"No server answers at {self._address} ({details}); start one, or name another."
            return TemporaryError(ConnectionError, message)
        return (PictureRefusedError if code == grpc.StatusCode.INVALID_ARGUMENT else UserError)(refusal)

    def _listens(self) -> bool:
        try:
            with socket.create_connection((self._server.host, self._server.port), timeout=1.0):
                return True
        except OSError:
            return False


def _arrays(reply: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
    """Returns the tensors of a reply."""
    try:
        return {name: tf.make_ndarray(tensor) for name, tensor in reply.outputs.items()}
    except (KeyError, TypeError, ValueError) as error:  # a type that NumPy has not; too few values for the shape
        raise ValueError(f"got a tensor that cannot be read: {short(str(error))}") from None
