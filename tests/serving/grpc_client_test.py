"""The gRPC client against a real gRPC server that runs the SavedModel, and against servers that fail."""
import contextlib
import socket
import threading
import time

import pytest

from ornet_tf.errors import ImageRefusedError
from serving import client, loaded
from tests.serving import tiny_contract
from tests.serving.tiny_contract import rest_model

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")

import tensorflow as tf  # noqa: E402
from tensorflow.core.framework import tensor_pb2  # noqa: E402
from tensorflow_serving.apis import predict_pb2  # noqa: E402

from serving.grpc_client import GrpcModel  # noqa: E402
from tests.serving import grpc_server  # noqa: E402

CODE = grpc.StatusCode


@pytest.fixture(name="address", scope="module")
def _address(export_base):
    with grpc_server.running(export_base / "1") as (address, _):
        yield address


@contextlib.contextmanager
def grpc_model(address, **options):
    with contextlib.closing(GrpcModel(address, **{"attempts": tiny_contract.ATTEMPTS, **options})) as model:
        yield model


@pytest.mark.parametrize("signature", tiny_contract.SIGNATURES)
def test_rest_grpc_and_the_model_itself_give_the_same_results(export_base, export_url, address, signature):
    images = tiny_contract.images()
    expected = loaded.load(export_base).localize(images, signature=signature)
    with grpc_model(address) as model:
        tiny_contract.expect_same(model.localize(images, signature=signature), expected)
    with rest_model(export_url) as model:
        tiny_contract.expect_same(model.localize(images, signature=signature), expected)


def test_a_version_may_be_named_and_no_images_are_no_request(address):
    with grpc_model(address + "/versions/1") as model:
        assert len(model.localize(tiny_contract.images())) == 5
    with grpc_model(address + "/versions/7") as model, pytest.raises(ValueError, match="NOT_FOUND: Servable not found"):
        model.localize([b"x"])
    with grpc_model("grpc://127.0.0.1:1/ornet") as model:
        assert model.localize([]) == []


def test_answers_may_be_larger_than_four_mebibytes(address):
    with grpc_model(address) as model:
        result, = model.localize(tiny_contract.images()[:1], signature="large")
    assert result.activation_map.nbytes > 4 * 2**20


@pytest.mark.parametrize("code", [CODE.RESOURCE_EXHAUSTED, CODE.UNAVAILABLE])
def test_a_failure_that_may_pass_is_tried_again(export_base, code):
    images = [*tiny_contract.images(), bytes(2**20)]  # more than gRPC's own limit for requests that it tries again
    with grpc_server.running(export_base / "1", faults=[(code, "busy")]) as (address, requests):
        with grpc_model(address) as model:
            answers = model.localize(images)
        assert len(requests) == 2
    tiny_contract.expect_same(answers, loaded.load(export_base).localize(images))


@pytest.mark.parametrize(
    ("code", "error", "message", "asked"),
    [
        (CODE.RESOURCE_EXHAUSTED, ValueError, "refuses with RESOURCE_EXHAUSTED: busy$", 2),
        (CODE.UNAVAILABLE, ConnectionError, r"No server answers at grpc://.* \(busy\); start one", 2),
        (CODE.DEADLINE_EXCEEDED, TimeoutError, r"No answer from grpc://.* within 0\.2 s; is the server busy", 1),
    ],
)
def test_attempts_end(export_base, code, error, message, asked):
    with grpc_server.running(export_base / "1", faults=[(code, "busy")] * 9) as (address, requests):
        timeout = 0.2 if code == CODE.DEADLINE_EXCEEDED else 30
        with grpc_model(address, timeout=timeout) as model, pytest.raises(error, match=message):
            model.localize([b"x"])
        assert len(requests) == asked


@pytest.mark.parametrize("code", [CODE.INVALID_ARGUMENT, CODE.NOT_FOUND, CODE.INTERNAL, CODE.UNIMPLEMENTED])
def test_other_codes_are_final_and_their_texts_cut(export_base, code):
    with grpc_server.running(export_base / "1", faults=[(code, "A" * 5000)] * 9) as (address, requests):
        with grpc_model(address) as model, pytest.raises(ValueError, match=f"refuses with {code.name}: AAA") as caught:
            model.localize([b"x"])
        assert len(requests) == 1
    assert len(str(caught.value)) < 500
    assert isinstance(caught.value, ImageRefusedError) == (code == CODE.INVALID_ARGUMENT)


def test_a_signature_that_gives_no_detections(address):
    with grpc_model(address) as model, pytest.raises(ValueError, match="INVALID_ARGUMENT: Expected the inputs x"):
        model.localize([b"x" * 100], signature="numbers")
    with grpc_model(address) as model, pytest.raises(ValueError, match='Serving signature name: "no" not found'):
        model.localize([b"x"], signature="no")


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("num_detections", tf.make_tensor_proto([float("inf")]), "num_detections holds a number that int64"),
        ("num_detections", tf.make_tensor_proto([[1]]), r"num_detections has the shape \[1, 1\] instead of \[1\]"),
        ("detection_boxes", tf.make_tensor_proto([b"a"]), r"detection_boxes is not a tensor"),
        ("activation_map_bytes", tf.make_tensor_proto([1.5]), "activation_map_bytes holds no PNG"),
        ("status", tensor_pb2.TensorProto(dtype="DT_VARIANT"), "got a tensor that cannot be read"),
        ("status", tensor_pb2.TensorProto(dtype="DT_INT32", tensor_content=b"abc"), "got a tensor that cannot be read"),
    ],
)
def test_replies_that_are_no_detections(export_base, name, tensor, message):
    reply = predict_pb2.PredictResponse()
    reply.outputs["detection_boxes"].CopyFrom(tf.make_tensor_proto([[[0.0, 0.0, 1.0, 1.0]]]))
    reply.outputs[name].CopyFrom(tensor)
    with grpc_server.running(export_base / "1", faults=[reply]) as (address, requests):
        expected = f"^Expected detections from {address}, but {message}.*; is it the model that ornet_tf.export wrote"
        with grpc_model(address) as model, pytest.raises(ValueError, match=expected):
            model.localize([b"x"])
        assert len(requests) == 1


def test_a_server_that_is_not_there_and_then_is(export_base):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"grpc://127.0.0.1:{port}/ornet"
    message = rf"No server answers at {address} \(.*\); start one, or name another address[.]$"
    with grpc_model(address, attempts=1) as model, pytest.raises(ConnectionError, match=message):
        model.localize([b"x"])
    found = []
    with grpc_model(address, attempts=5) as waiting:
        thread = threading.Thread(target=lambda: found.extend(waiting.localize(tiny_contract.images())))
        thread.start()
        time.sleep(0.5)
        with grpc_server.running(export_base / "1", port=port):
            thread.join(60)
    assert len(found) == 5


def test_closing_ends_requests_under_way(export_base):
    with grpc_server.running(export_base / "1", faults=[(CODE.DEADLINE_EXCEEDED, "")]) as (address, requests):
        failures = []
        with grpc_model(address) as model:

            def ask():
                try:
                    model.localize([b"x"])
                except ValueError as error:
                    failures.append(str(error))

            thread = threading.Thread(target=ask)
            thread.start()
            while not requests:
                thread.join(0.01)
        thread.join(30)
        assert not thread.is_alive() and "CANCELLED" in failures[0]


def test_many_images_through_the_common_client(export_base, address):
    images = tiny_contract.images() * 5
    tiny_contract.expect_same(client.localize(address, images), client.localize(str(export_base), images))
