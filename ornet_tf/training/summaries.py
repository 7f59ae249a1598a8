"""What a phase writes while it trains: TensorBoard and metrics.jsonl."""
from __future__ import annotations

import glob
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging
from tensorboard.plugins.hparams import api as hparams

from ornet_tf import atomic_write
from ornet_tf.maps import visualize
from ornet_tf.methods import predicted_classes

_EVENT_FILE = "events.out.tfevents."  # how the names of TensorBoard's event files begin; the time in seconds follows


class PhaseSummaries:
    """Writes to `<folder>/tensorboard` and `<folder>/metrics.jsonl`; use it as a context manager.

    An interrupted run has written values of steps that are trained again. TensorBoard does not show them, and they are
    removed from metrics.jsonl: both show what an uninterrupted run would. All methods raise OSError, with a sentence,
    if they can't write.
    """

    def __init__(self, folder: str, settings: Mapping[str, Any], *, first_step: int = 0):
        """Opens both; at the start of a run it writes the settings, as text and as TensorBoard's hyper-parameters.

        Args:
          folder: the phase's folder.
          settings: of the phase.
          first_step: the step that training goes on from.
        """
        self._metrics_path = os.path.join(folder, "metrics.jsonl")
        self._tensorboard_path = os.path.join(folder, "tensorboard")
        with _writing(self._tensorboard_path):
            if first_step:
                _sort_before_now(self._event_files())
            else:
                for path in self._event_files():
                    os.remove(path)
            self._writer = tf.summary.create_file_writer(self._tensorboard_path)
            if first_step:
                self._write_restart(first_step)
            else:
                self._write_settings(json.loads(json.dumps(settings, default=str)))
        with _writing(self._metrics_path):
            os.makedirs(folder, exist_ok=True)
            _keep_lines(self._metrics_path, first_step)
            self._metrics = open(self._metrics_path, "a", encoding="utf-8")  # noqa: SIM115 - closed in __exit__

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Neither can be closed on a full disk if something is left to write.
        try:
            with _writing(self._metrics_path):
                self._metrics.close()
        finally:
            with _writing(self._tensorboard_path):
                self._writer.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes named values of a step."""
        with _writing(self._tensorboard_path), self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        with _writing(self._metrics_path):
            self._metrics.write(json.dumps({"step": step, **values}) + "\n")
            self._metrics.flush()

    def images(self, step: int, images: np.ndarray, outputs: Mapping[str, np.ndarray]) -> None:
        """Writes fixed images with what the network makes of them, and the histogram of map values (Fig. 4).

        Args:
          step: the step.
          images: [B, H, W, 3] in 0..255.
          outputs: any of "activation_map" and "erased_map" [B, h, w, 1] in 0..1, "masked_image" uint8 [B, H, W, 3] and
            "boxes" [B, M, 4], ymin xmin ymax xmax in fractions of the image.
        """
        images = np.asarray(images).astype(np.uint8)
        shown = {}
        for name in ("activation_map", "erased_map"):
            if name in outputs:
                shown[name] = [visualize.overlay(*pair) for pair in zip(images, outputs[name][..., 0])]
        if "masked_image" in outputs:
            shown["masked_image"] = list(outputs["masked_image"])
        if "boxes" in outputs:
            shown["boxes"] = [visualize.draw_boxes(*pair) for pair in zip(images, outputs["boxes"])]
        with _writing(self._tensorboard_path), self._writer.as_default(step=step):
            for name, rows in shown.items():
                tf.summary.image(name, np.stack(rows), max_outputs=len(rows))
            if "activation_map" in outputs:
                tf.summary.histogram("activation_map_values", outputs["activation_map"])

    def flush(self) -> None:
        """Brings everything that was written onto the disk: process or machine may go down from here on."""
        with _writing(self._tensorboard_path):
            self._writer.flush()
            atomic_write.flush_to_disk(self._event_files())
        with _writing(self._metrics_path):
            atomic_write.flush_to_disk([self._metrics_path])

    def _event_files(self) -> list[str]:
        """Returns the paths in the order in which TensorBoard reads the files."""
        return sorted(glob.glob(os.path.join(glob.escape(self._tensorboard_path), f"{_EVENT_FILE}*")))

    def _write_restart(self, first_step: int) -> None:
        """Writes the record that makes TensorBoard drop all events after `first_step` that come before the record.

        TensorBoard ignores the first such record of a run, which it takes for the beginning: hence two of them. The
        data server of its dashboard ignores them all. It drops what a series has from the step of a new event on.
        """
        log = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        event = tf.compat.v1.Event(wall_time=time.time(), step=first_step + 1, session_log=log)
        for _ in range(2):
            tf.raw_ops.ImportEvent(writer=self._writer._resource, event=event.SerializeToString())

    def _write_settings(self, settings: Mapping[str, Any]) -> None:
        with self._writer.as_default(step=0):
            text = json.dumps(settings, indent=1)
            tf.summary.text("settings", "\n".join(f"    {line}" for line in text.splitlines()))
            hparams.hparams(dict(_flat(settings)))


def _writing(path: str):
    return atomic_write.explain_failures(f"{path} could not be written", ": it goes on from the last checkpoint")


def _sort_before_now(paths: list[str]) -> None:
    """Renames event files if a file that is begun now would not sort behind them.

    TensorBoard reads files in the order of their names, which begin with the time. Without this, it would mix up the
    events of a run that goes on within a second, or on a machine whose clock is behind.
    """
    if paths and os.path.basename(paths[-1]) >= f"{_EVENT_FILE}{int(time.time()):010d}":
        for number, path in enumerate(paths):
            rest = os.path.basename(path)[len(_EVENT_FILE) :].partition(".")[2]
            os.rename(path, os.path.join(os.path.dirname(path), f"{_EVENT_FILE}{number:010d}.{rest}"))


def _keep_lines(path: str, last_step: int) -> None:
    """Rewrites a metrics file aside with its whole lines up to a step; the last line of a killed run may be cut off."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file, open(f"{path}.partial", "w", encoding="utf-8") as kept:
        kept.writelines(line for line in file if line.endswith("\n") and 0 < _step(line, path) <= last_step)
    atomic_write.replace_file(f"{path}.partial", path)


def _step(line: str, path: str) -> int:
    try:
        return json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        logging.warning("%s: a line that is no metrics is left out: %.40r.", path, line)
        return 0


def _flat(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (path, value) of the leaves of nested settings; what is no number, text or truth value becomes text."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _flat(value, f"{path}.{key}" if path else key)
    else:
        yield path, tree if isinstance(tree, (bool, int, float, str)) else json.dumps(tree)


def observations(outputs: Mapping[str, tf.Tensor], batch_size: int, asked_for: Collection[str]) -> dict[str, tf.Tensor]:
    """Returns what is watched beside the losses: accuracies, and how grey the map is.

    Args:
      outputs: named tensors with "label" [b]; of "activation_map" and of "...logits" something is said.
      batch_size: the global one.
      asked_for: what losses ask for: other logits need not be computed.

    Returns:
      name -> scalar, the sum over this replica's examples over the global batch size: replicas add up to the mean.
    """
    seen = {}
    for name, value in outputs.items():
        if name.endswith("logits") and name in asked_for:
            hits = tf.equal(predicted_classes(value), outputs["label"])
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
