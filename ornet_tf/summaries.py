"""What a phase writes while it trains: TensorBoard and metrics.jsonl."""
from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ornet_tf import visualize


class PhaseSummaries:
    """Writes to `<folder>/tensorboard` and `<folder>/metrics.jsonl`; use it as a context manager."""

    def __init__(self, folder: str, settings: Mapping[str, Any], *, first_step: int = 0):
        """Opens both and writes the settings as text.

        Args:
          folder: the phase's folder.
          settings: of the phase.
          first_step: where training goes on; lines of later steps, written by a run that was cut off, are removed.
        """
        os.makedirs(folder, exist_ok=True)
        self._writer = tf.summary.create_file_writer(os.path.join(folder, "tensorboard"))
        path = os.path.join(folder, "metrics.jsonl")
        kept = _lines_until(path, first_step)
        self._metrics = open(path, "w", encoding="utf-8")  # noqa: SIM115
        self._metrics.writelines(kept)
        self._metrics.flush()
        with self._writer.as_default(step=0):
            text = json.dumps(settings, indent=1, default=str)
            tf.summary.text("settings", "\n".join(f"    {line}" for line in text.splitlines()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._writer.close()
        self._metrics.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes named values of a step."""
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._metrics.write(json.dumps({"step": step, **values}) + "\n")
        self._metrics.flush()

    def maps(self, step: int, images: np.ndarray, outputs: Mapping[str, np.ndarray]) -> None:
        """Writes overlays of maps on fixed pictures and the histogram of their values (the paper's Fig. 4).

        Args:
          step: the step.
          images: [B, H, W, 3] in 0..255.
          outputs: name -> [B, h, w, 1] in 0..1.
        """
        with self._writer.as_default(step=step):
            for name, maps in outputs.items():
                overlays = [
                    visualize.overlay(image.astype(np.uint8), activation_map[..., 0])
                    for image, activation_map in zip(images, maps)
                ]
                tf.summary.image(name, np.stack(overlays), max_outputs=len(overlays))
                tf.summary.histogram(f"{name}_values", maps)


def _lines_until(path: str, step: int) -> list[str]:
    """Returns the whole lines of a metrics file up to a step; the last line of a killed run may be cut off."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [line for line in file if line.endswith("\n") and json.loads(line)["step"] <= step]


def observations(outputs: Mapping[str, tf.Tensor], batch_size: int) -> dict[str, tf.Tensor]:
    """Returns what is watched beside the losses: accuracies, and how grey the map is.

    Args:
      outputs: named tensors with "label" [b]; of "activation_map" and all "...logits" something is said.
      batch_size: the global one.

    Returns:
      name -> scalar, the sum over this replica's examples over the global batch size: replicas add up to the mean.
    """
    seen = {}
    for name, value in outputs.items():
        if name.endswith("logits"):
            hits = tf.equal(tf.argmax(value, axis=-1, output_type=tf.int32), outputs["label"])
            seen[f"accuracy/{name}"] = tf.reduce_sum(tf.cast(hits, tf.float32)) / batch_size
    if "activation_map" in outputs:
        maps = tf.reshape(outputs["activation_map"], [tf.shape(outputs["activation_map"])[0], -1])
        grey = tf.cast((maps > 0.2) & (maps < 0.8), tf.float32)
        statistics = {
            "map/mean": tf.reduce_mean(maps, axis=-1),
            "map/standard_deviation": tf.math.reduce_std(maps, axis=-1),
            "map/share_on": tf.reduce_mean(tf.cast(maps > 0.5, tf.float32), axis=-1),
            "map/share_grey": tf.reduce_mean(grey, axis=-1),
        }
        seen.update({name: tf.reduce_sum(value) / batch_size for name, value in statistics.items()})
    return seen
