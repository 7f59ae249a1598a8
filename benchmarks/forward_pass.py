"""Times VGG16's forward pass with mapped Winograd kernels against other libraries, with the same random weights.

The pass ends in block5_conv3; the gap head would add less than a thousandth. The lines are this project's layers inside
`winograd.enable`, the same layers without it (oneDNN's direct convolution), OpenVINO, ONNX Runtime, and TensorFlow's
product of two square matrices (sgemm). All compute in float32, with as many threads as there are cores, from the same
pixels to NumPy arrays, in one process by turns; figures are medians of `--rounds` calls. FLOP/s count the
multiplications and additions of direct convolutions, so a figure above that of sgemm is possible. "deviation" is the
largest difference from the direct convolution, as a share of the largest output.

OpenVINO runs the model's graph twice: with the hint LATENCY (a call after the other), and with THROUGHPUT (as many
calls at once as it asks for). By itself it would compute in bfloat16 where the processor can: the last line, not
comparable. The project requires neither OpenVINO nor ONNX Runtime; their lines are left out if they are not installed:

  pip install openvino onnxruntime tf2onnx
  python -m benchmarks.forward_pass
"""
from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from benchmarks import _flops
from ornet_tf import registry
from ornet_tf.models import winograd

_SIZE = flags.DEFINE_integer("size", 224, "side of the images in pixels, a multiple of 32", lower_bound=32)
_BATCHES = flags.DEFINE_multi_integer("batch", [1, 8], "images in a call; can be given several times", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 9, "calls of each side", lower_bound=1)
_PAUSE = 0.05  # seconds before a call, in which the threads of other libraries stop waiting for work
_MATRIX = 2048

Side = Callable[[np.ndarray], list[np.ndarray]]  # the outputs of its calls


def tensorflow_sides(model: Callable, signature) -> dict[str, Side]:
    """Returns the sides of this project."""
    mapped = winograd.MappedKernels()

    @tf.function(input_signature=signature)
    def filtered(pixels):
        with winograd.enable(mapped, for_cpu=True):
            return model(pixels)

    direct = tf.function(model, input_signature=signature)
    return {
        "Winograd": lambda pixels: [filtered(pixels).numpy()],
        "direct": lambda pixels: [direct(pixels).numpy()],
    }


def openvino_sides(saved_model: str) -> dict[str, Side]:
    """Returns the sides of OpenVINO, none if it is not installed."""
    try:
        import openvino
    except ImportError as error:
        print(f"No line for OpenVINO, which can't be imported ({error}): pip install openvino")
        return {}
    core, model = openvino.Core(), openvino.convert_model(saved_model)

    def side(hint, **options):
        options = {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": os.cpu_count(), **options}
        compiled = core.compile_model(model, "CPU", options)
        calls = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") if hint == "THROUGHPUT" else 1
        requests = [compiled.create_infer_request() for _ in range(calls)]

        def run(pixels):
            for request in requests:
                request.start_async({0: pixels}, share_inputs=True)
            for request in requests:
                request.wait()
            return [request.get_output_tensor().data for request in requests]

        return run

    return {
        "OpenVINO, LATENCY": side("LATENCY", INFERENCE_PRECISION_HINT="f32"),
        "OpenVINO, THROUGHPUT": side("THROUGHPUT", INFERENCE_PRECISION_HINT="f32"),
        "OpenVINO, its own precision": side("LATENCY"),
    }


def onnx_runtime_sides(function) -> dict[str, Side]:
    """Returns the side of ONNX Runtime, none if it is not installed."""
    try:
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        print(f"No line for ONNX Runtime, which can't be imported ({error}): pip install onnxruntime tf2onnx")
        return {}
    model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=17)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return {"ONNX Runtime": lambda pixels: session.run(None, {name: pixels})}


def compare(sides: dict[str, Side], pixels: np.ndarray, flops: float) -> None:
    """Measures all sides and prints the table; `flops` is the number of floating-point operations of an image."""
    expected = sides["direct"](pixels)[0]
    calls, deviations, times = {}, {}, {side: [] for side in [*sides, "sgemm"]}
    for side, run in sides.items():
        outputs = run(pixels)
        calls[side] = len(outputs)
        deviations[side] = max(np.abs(output - expected).max() for output in outputs) / np.abs(expected).max()
    square = tf.constant(np.random.default_rng(0).normal(size=[_MATRIX, _MATRIX]), tf.float32)
    product = tf.function(lambda: tf.matmul(square, square))
    for _ in range(_ROUNDS.value):
        for side, run in {**sides, "sgemm": lambda _: product().numpy()}.items():
            time.sleep(_PAUSE)
            begin = time.perf_counter()
            run(pixels)
            times[side].append(time.perf_counter() - begin)
    median = {side: statistics.median(values) for side, values in times.items()}
    rate = {side: calls[side] * len(pixels) / median[side] for side in sides}
    print(f"\n{f'batches of {len(pixels)}':<30}{'images/s':>10}{'Winograd /':>12}{'GFLOP/s':>10}{'deviation':>11}")
    for side in sides:
        row = f"{side:<30}{rate[side]:>10.2f}{rate['Winograd'] / rate[side]:>12.2f}"
        print(f"{row}{rate[side] * flops / 1e9:>10.0f}{deviations[side]:>11.1e}")
    print(f"{'sgemm':<52}{2 * _MATRIX**3 / median['sgemm'] / 1e9:>10.0f}", flush=True)


def main(_) -> None:
    """Prints a table for each batch size."""
    logging.set_verbosity(logging.WARNING)  # saving logs thousands of input names
    backbone = registry.find("backbones", "vgg16")(image_size=_SIZE.value, num_classes=2, weights=None)
    for part in (backbone.lower, backbone.upper):
        part.trainable = False
    print(f"VGG16 with random weights, {_SIZE.value} pixels, {os.cpu_count()} threads, TensorFlow {tf.__version__}")

    def features(pixels):
        return backbone.upper(backbone.lower(pixels, training=False), training=False)["features"]

    for batch in _BATCHES.value:
        signature = [tf.TensorSpec([batch, _SIZE.value, _SIZE.value, 3], tf.float32, name="pixels")]
        pixels = np.random.default_rng(0).uniform(-128, 128, signature[0].shape).astype(np.float32)
        direct = tf.function(features, input_signature=signature)
        flops = sum(_flops.count_flops(direct.get_concrete_function()).values()) / batch
        module = tf.Module()
        module.features, module.parts = direct, [backbone.lower, backbone.upper]
        with tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(module, folder, signatures=direct)
            others = openvino_sides(folder)
        sides = {**tensorflow_sides(features, signature), **others, **onnx_runtime_sides(direct)}
        compare(sides, pixels, flops)


if __name__ == "__main__":
    app.run(main)
