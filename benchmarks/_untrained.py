"""A VGG16 export with random weights, and images for it, for the benchmarks of exports."""
from __future__ import annotations

import io

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict
from PIL import Image

from ornet_tf import build, methods
from ornet_tf.data import decoding, file_checks, transforms
from ornet_tf.inference import localizer, saved_model

_HEIGHT, _WIDTH = 375, 500  # of images, in pixels; common in data sets of photographs


def _resize(size: int) -> int:
    return size * 8 // 7  # 256 for 224


def method_and_localizer(
    experiment: ConfigDict, size: int, classes: int
) -> tuple[methods.Method, localizer.Localizer]:
    """Builds stage two of an experiment, and the localizer around it, for views of `size` pixels.

    As after training, the lower part has the evaluator's weights if both stages freeze it.
    """
    experiment = build.drop_start_weights(experiment).copy_and_resolve_references()
    experiment.input.update({"resize": _resize(size), "crop": size})
    method = build.build_method(experiment, experiment.phase.stage_two, classes)
    if all(experiment.phase[stage].options.get("freeze_lower") for stage in ("stage_one", "stage_two")):
        method.parts["lower"].set_weights(method.parts["evaluator_lower"].get_weights())
    model = localizer.Localizer(
        method,
        [f"class {i}" for i in range(classes)],
        resize=_resize(size),
        crop=size,
        threshold=experiment.evaluation.threshold,
        box_rule=experiment.evaluation.box_rule,
    )
    return method, model


def save(model: localizer.Localizer, folder: str) -> None:
    """Exports a localizer as a SavedModel."""
    saved_model._save(model, {"weights": "random"}, folder)


def views(image_bytes: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the evaluation views of image files, string [N], as in the export: float32 [N, size, size, 3], 0..255."""
    view = transforms.evaluation_view(resize=_resize(size), crop=size)
    limits = {"max_bytes": file_checks.MAX_BYTES, "max_pixels": file_checks.MAX_PIXELS}

    def to_view(image, frame):
        return transforms.apply(image, view, resize=_resize(size), crop=size, frame=frame)

    return decoding.decode_each(image_bytes, to_view, [size, size, 3], target_side=_resize(size), **limits)[0]


def jpegs(count: int) -> list[bytes]:
    """Returns JPEG files of smooth colours with some noise; the same files in every call."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((_WIDTH, _HEIGHT), Image.BICUBIC))
        noisy = np.clip(smooth + rng.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files
