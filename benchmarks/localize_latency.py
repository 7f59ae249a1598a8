"""Times an export against the forward pass of the whole classifier and against Grad-CAM, on the same VGG16.

The export is a SavedModel with random weights; --config names the experiment, by default the paper's. Its signature
`localize` runs the lower layers and the generator, and `serving_default` runs the evaluator as well. If stage one
freezes the lower layers, the two share a pass, as in a trained run. The export is made for CPUs if this machine has no
GPU. It is compared with the forward pass of the evaluator, which is the whole VGG16, in one graph; with Grad-CAM at its
last convolution, in one graph; with Grad-CAM of tf-keras-vis; and with the graph of `localize`, without the boxes, in
OpenVINO. Grad-CAM and OpenVINO return a map, the export returns boxes. All sides get the same JPEG files and decode
them with the same operations. Decoding is timed separately, and the columns "alone" are without its median. The sides
run alternately in one process; each figure is the median of `--rounds` calls. The project requires neither tf-keras-vis
nor OpenVINO; a line is left out if its package is not installed:

  pip install tf-keras-vis openvino
  python -m benchmarks.localize_latency
  python -m benchmarks.localize_latency --config=configs/few_pictures.py
"""
from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from benchmarks import _untrained
from ornet_tf import config, methods, registry
from ornet_tf.compat import keras
from ornet_tf.maps import rescale

_CONFIG = config_flags.DEFINE_config_file("config", None, "an experiment with VGG16")
_SIZE = flags.DEFINE_integer("size", 224, "side of the view in pixels, a multiple of 32", lower_bound=32)
_CLASSES = flags.DEFINE_integer("classes", 200, "number of classes", lower_bound=2)
_BATCHES = flags.DEFINE_multi_integer("batch", [1, 8], "images in a call; can be given several times", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 15, "calls of each side", lower_bound=1)
_OURS = ("localize", "serving_default")
_FORWARD, _GRAD_CAM, _KERAS_VIS = "VGG16 forward pass", "Grad-CAM, one graph", "Grad-CAM, tf-keras-vis"
_OPENVINO = "localize, OpenVINO"

Side = Callable[[tf.Tensor], object]


def whole_classifier(experiment: ConfigDict, method: methods.Method) -> keras.Model:
    """Returns the evaluator with its weights as one flat model: pixels [B, H, W, 3] -> logits [B, K]."""
    lower, upper = method.parts["evaluator_lower"], method.parts["evaluator_upper"]
    normalize = registry.find("backbones", experiment.backbone.name)(
        image_size=_SIZE.value, num_classes=_CLASSES.value, weights=None
    ).normalize
    x = pixels = keras.Input(normalize.input_shape[1:])
    for part in (normalize, lower, upper):
        for layer in part.layers[1:]:
            x = layer(x)
    # tf-keras-vis reads the output of a layer, which must be unique; cloned layers are used only once.
    flat = keras.models.clone_model(keras.Model(pixels, x))
    flat.set_weights([*lower.get_weights(), *upper.get_weights()])
    return flat


def classifier_sides(classifier: keras.Model) -> dict[str, Side]:
    """Returns the classifier's forward pass and Grad-CAM, as functions of image files, string [N]."""
    last = [layer for layer in classifier.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    both = keras.Model(classifier.inputs, [last.output, classifier.outputs[0]])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def forward(files):
        return tf.nn.softmax(classifier(_untrained.views(files, _SIZE.value), training=False))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def grad_cam(files):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            pixels = _untrained.views(files, _SIZE.value)
            tape.watch(pixels)
            features, logits = both(pixels, training=False)
            score = tf.reduce_max(logits, axis=-1)
        weights = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2), keepdims=True)
        cam = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1, keepdims=True))
        return rescale.rescale(tf.image.resize(cam, [_SIZE.value, _SIZE.value]))[..., 0]

    return {_FORWARD: lambda files: forward(files).numpy(), _GRAD_CAM: lambda files: grad_cam(files).numpy()}


def keras_vis_side(classifier: keras.Model, decode: Callable[[tf.Tensor], tf.Tensor]) -> dict[str, Side]:
    """Returns Grad-CAM of tf-keras-vis, or an empty dictionary if it is not installed."""
    try:
        from tf_keras_vis.gradcam import Gradcam
    except ImportError as error:
        print(f"No line for tf-keras-vis, which can't be imported ({error}): pip install tf-keras-vis")
        return {}
    grad_cam = Gradcam(classifier)
    return {_KERAS_VIS: lambda files: grad_cam(lambda logits: tf.reduce_max(logits, axis=-1), decode(files))}


def openvino_side(method: methods.Method, decode: Callable[[tf.Tensor], tf.Tensor], export: Side) -> dict[str, Side]:
    """Returns the map in OpenVINO, with plain convolutions and two threads, or nothing if it is not installed.

    Raises:
      ValueError: if the map differs from that of the signature `activation_map_float`, `export`.
    """
    try:
        import openvino
    except ImportError as error:
        print(f"No line for OpenVINO, which can't be imported ({error}): pip install openvino")
        return {}
    views = tf.TensorSpec([None, _SIZE.value, _SIZE.value, 3])
    graph = tf.function(lambda views: method.predict(views)["activation_map"]).get_concrete_function(views)
    converted = openvino.convert_model(graph)  # its outputs are all ends of the graph, also those of the evaluator
    only_map = openvino.Model([converted.output("Identity:0")], converted.get_parameters())
    options = {"INFERENCE_NUM_THREADS": 2, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.compile_model(only_map, "CPU", options)

    def find_map(files):
        return compiled([decode(files).numpy()])[0][..., 0]

    files = tf.constant(_untrained.jpegs(1))
    if not np.allclose(find_map(files), export(files)["activation_map"], atol=1e-3):
        raise ValueError("Expected the same map of the export and of OpenVINO.")
    return {_OPENVINO: find_map}


def all_sides(folder: str) -> dict[str, Side]:
    """Returns every side as a function of image files, string [N], which returns NumPy arrays."""
    experiment = _CONFIG.value or config.default()
    method, model = _untrained.method_and_localizer(experiment, _SIZE.value, _CLASSES.value)
    _untrained.save(model, folder)
    loaded = tf.saved_model.load(folder)
    decode = tf.function(
        lambda files: _untrained.views(files, _SIZE.value), input_signature=[tf.TensorSpec([None], tf.string)]
    )

    def call(name):
        # The closure keeps `loaded` alive: its functions refer to its variables only weakly.
        return lambda files: {k: v.numpy() for k, v in loaded.signatures[name](image_bytes=files).items()}

    classifier = whole_classifier(experiment, method)
    return {
        "decoding": lambda files: decode(files).numpy(),
        **{name: call(name) for name in _OURS},
        **classifier_sides(classifier),
        **keras_vis_side(classifier, decode),
        **openvino_side(method, decode, call("activation_map_float")),
    }


def check(sides: Mapping[str, Side], files: tf.Tensor) -> None:
    """Calls every side, which builds its graph, and compares the results that should agree.

    Raises:
      ValueError: if they differ.
    """
    results = {name: side(files) for name, side in sides.items()}
    whole, boxes = results["serving_default"], results["localize"]["detection_boxes"]
    pairs = {
        "boxes of localize and serving_default": (boxes, whole["detection_boxes"]),
        "scores of serving_default and the forward pass": (whole["detection_scores"][:, 0], results[_FORWARD].max(-1)),
    }
    if _KERAS_VIS in results:
        # The two enlarge the map in different ways, so only their correlation is compared.
        maps = [np.reshape(results[name], [len(boxes), -1]) for name in (_GRAD_CAM, _KERAS_VIS)]
        correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(*maps) if a.std() and b.std()]
        pairs["maps of both Grad-CAMs (correlation)"] = (np.maximum(0.9, correlations), np.asarray(correlations))
    for compared, (expected, actual) in pairs.items():
        if not np.allclose(expected, actual, rtol=1e-3, atol=1e-4):
            raise ValueError(f"Expected the same {compared}, got {expected} and {actual}.")


def compare(sides: Mapping[str, Side], batch: int) -> None:
    """Measures all sides at one batch size and prints the table."""
    files = tf.constant(_untrained.jpegs(batch))
    check(sides, files)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(_ROUNDS.value):
        for name, side in sides.items():
            begin = time.perf_counter()
            side(files)
            times[name].append((time.perf_counter() - begin) * 1000 / batch)
    median = {name: statistics.median(values) for name, values in times.items()}
    decoding = median["decoding"]
    print(f"\nbatches of {batch}{'ms/image':>25}{'fastest':>10}{'slowest':>10}{'alone':>10}"
          + "".join(f"{f'/ {name}':>18}{'alone':>10}" for name in _OURS))
    for name, values in times.items():
        row = f"{name:<26}{median[name]:>10.2f}{min(values):>10.2f}{max(values):>10.2f}"
        if name != "decoding":
            row += f"{median[name] - decoding:>10.2f}"
            for ours in _OURS:
                alone = (median[name] - decoding) / (median[ours] - decoding)
                row += f"{median[name] / median[ours]:>18.2f}{alone:>10.2f}"
        print(row, flush=True)


def main(_) -> None:
    """Prints a table for each batch size."""
    logging.set_verbosity(logging.WARNING)  # saving logs thousands of input names
    print(f"VGG16 with random weights, {_SIZE.value} pixels, {_CLASSES.value} classes, TensorFlow {tf.__version__}")
    print("A ratio above 1 means that the export's signature is faster than the side of the line.")
    with tempfile.TemporaryDirectory() as folder:
        sides = all_sides(folder)
        for batch in _BATCHES.value:
            compare(sides, batch)


if __name__ == "__main__":
    app.run(main)
