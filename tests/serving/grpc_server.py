"""A gRPC server in this process: PredictionService in front of a SavedModel, with faults where they are asked for."""
import concurrent.futures
import contextlib
import time

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.errors import RequestError
from serving.saved_model import SavedModel


class _Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, path, name, version, faults):
        self.model, self.name, self.version = SavedModel(path), name, version
        self.faults, self.requests = list(faults), []

    def Predict(self, request, context):
        self.requests.append(request)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, predict_pb2.PredictResponse):
                return fault
            code, details = fault
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                while context.is_active():  # until the caller gives up
                    time.sleep(0.01)
            context.abort(code, details)
        spec = request.model_spec
        if spec.name != self.name or (spec.HasField("version") and spec.version.value != self.version):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        tensors = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        reply = predict_pb2.PredictResponse()
        try:
            self.model.inputs(spec.signature_name)
            for name, value in self.model.run(spec.signature_name, tensors).items():
                reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        except RequestError as error:
            context.abort(grpc.StatusCode[error.code.name], error.message)
        return reply


@contextlib.contextmanager
def running(path, name="ornet", *, version=1, faults=(), port=0):
    """Serves the SavedModel in `path`.

    Args:
      path: the version's folder.
      name: the model's name.
      version: the only number that may be asked for.
      faults: (code, details) of the first requests, where DEADLINE_EXCEEDED never answers, or whole replies.
      port: 0 for a free one.

    Yields:
      The address, and the list of requests, which grows.
    """
    service = _Service(path, name, version, faults)
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}/{name}", service.requests
    finally:
        server.stop(None).wait()
