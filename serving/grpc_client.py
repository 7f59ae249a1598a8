"""A model behind TensorFlow Serving's gRPC API.

It needs the package tensorflow-serving-api, which brings the messages and TensorFlow. No other module imports it.
"""
from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

import ornet_tf  # noqa: F401 - sets what TensorFlow reads when it is imported
from ornet_tf.errors import ImageRefusedError, MissingPackageError, UserError
from ornet_tf.inference import detections, encoding
from serving import addresses
from serving.errors import cut_for_people
from serving.rest_client import expect_limits

try:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
except ImportError as missing:
    raise MissingPackageError(
        f"Expected the package tensorflow-serving-api for a grpc:// address, but {missing}; install it, or "
        "use an http:// address."
    ) from missing

_MAX_ATTEMPTS = 5  # gRPC makes no more


class GrpcModel:
    """A model at a gRPC address. Several threads may call its methods at once."""

    def __init__(self, address: str, *, timeout: float = 30.0, attempts: int = 5):
        """Connects at the first request.

        Args:
          address: grpc://HOST[:PORT]/MODEL[/versions/N], unencrypted and without a label.
          timeout: seconds until the whole answer is there, all attempts together.
          attempts: the largest number of attempts for one answer; gRPC makes 5 at most.

        Raises:
          UserError: if the address has another form, or a number is out of range.
        """
        expect_limits(timeout, attempts)
        self._address = address
        self._server = addresses.parse_grpc(address)
        self._timeout = timeout
        options = [
            ("grpc.max_receive_message_length", -1),  # the default of 4 MiB is less than the maps of some images
            ("grpc.max_send_message_length", -1),
            ("grpc.service_config", json.dumps({"methodConfig": [_retried(min(attempts, _MAX_ATTEMPTS))]})),
            ("grpc.per_rpc_retry_buffer_size", 2**30),  # gRPC does not retry a request that is larger than this
            ("grpc.enable_http_proxy", int(not addresses.is_loopback(self._server.host))),
            # gRPC waits up to two minutes before it connects again. A server that restarts is found sooner.
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        host = f"[{self._server.host}]" if ":" in self._server.host else self._server.host
        self._channel = grpc.insecure_channel(f"{host}:{self._server.port}", options=options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def localize(
        self, images: Sequence[encoding.ImageInput], *, signature: str = "serving_default"
    ) -> list[detections.Detections]:
        """Finds the objects in each image, in one request; see `serving.loaded.LoadedModel.localize`.

        Raises:
          OSError: if a file cannot be read.
          TypeError: if something is not an image, or `images` is a single image.
          ValueError: if an array has a shape that no image has.
          ConnectionError: if the server cannot be reached or is overloaded (UNAVAILABLE).
          TimeoutError: if the server does not answer in time.
          ImageRefusedError: a UserError, if the server refuses the contents of the request (INVALID_ARGUMENT).
          UserError: if the server refuses for another reason, or does not answer with detections.
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
        try:
            reply = self._stub.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._failure(error.code(), cut_for_people(error.details() or "")) from None
        with detections.explain_wrong_outputs(self._address):
            return detections.from_outputs(_arrays(reply), len(images))

    def close(self) -> None:
        """Closes the connection. Running requests fail."""
        self._channel.close()

    def _failure(self, code: grpc.StatusCode, details: str) -> Exception:
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimeoutError(f"No answer from {self._address} within {self._timeout:g} s; is the server busy?")
        if code == grpc.StatusCode.UNAVAILABLE:
            return ConnectionError(
                f"No server answers at {self._address} ({details}); start one, or name another address."
            )
        kind = ImageRefusedError if code == grpc.StatusCode.INVALID_ARGUMENT else UserError
        return kind(f"{self._address} refuses with {code.name}: {details}")


def _retried(attempts: int) -> dict:
    """Returns gRPC's configuration of all methods: they are tried again where the failure may pass."""
    if attempts == 1:
        return {"name": [{}]}
    return {
        "name": [{}],
        "retryPolicy": {
            "maxAttempts": attempts,
            "initialBackoff": "0.5s",
            "maxBackoff": "10s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
        },
    }


def _arrays(reply: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
    """Returns the outputs in a reply.

    Raises:
      ValueError: if one cannot be read; the message is the middle of a sentence.
    """
    try:
        return {name: tf.make_ndarray(tensor) for name, tensor in reply.outputs.items()}
    except (KeyError, TypeError, ValueError) as error:  # a type that NumPy lacks, or too few values for the shape
        raise ValueError(f"got a tensor that cannot be read: {cut_for_people(str(error))}") from None
