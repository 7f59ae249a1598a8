"""Logs of a phase: TensorBoard event files and metrics.jsonl."""
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

_EVENT_FILE = "events.out.tfevents."  # prefix of TensorBoard's event files; the time in seconds follows


class PhaseSummaries:
    """Writes to `<folder>/tensorboard` and `<folder>/metrics.jsonl`; use it as a context manager.

    An interrupted run may have logged steps that are trained again. TensorBoard hides these values, and they are
    removed from metrics.jsonl, so both logs equal those of an uninterrupted run. All methods raise OSError if they
    can't write.
    """

    def __init__(self, folder: str, settings: Mapping[str, Any], *, first_step: int = 0):
        """Opens both logs. At the start of a phase it logs the settings as text and as hyper-parameters.

        Args:
          folder: the phase's folder.
          settings: the settings of the phase.
          first_step: the step from which training resumes.
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
        # On a full disk, closing fails if buffered data is left.
        try:
            with _writing(self._metrics_path):
                self._metrics.close()
        finally:
            with _writing(self._tensorboard_path):
                self._writer.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Logs named values of a step."""
        with _writing(self._tensorboard_path), self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        with _writing(self._metrics_path):
            self._metrics.write(json.dumps({"step": step, **values}) + "\n")
            self._metrics.flush()

    def images(self, step: int, images: np.ndarray, outputs: Mapping[str, np.ndarray]) -> None:
        """Logs fixed images with the network's outputs for them, and the histogram of map values (Fig. 4).

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
        """Flushes both logs to the disk, so that they survive a crash of the process or the machine."""
        with _writing(self._tensorboard_path):
            self._writer.flush()
            atomic_write.flush_to_disk(self._event_files())
        with _writing(self._metrics_path):
            atomic_write.flush_to_disk([self._metrics_path])

    def _event_files(self) -> list[str]:
        """Returns the paths of the event files in the order in which TensorBoard reads them."""
        return sorted(glob.glob(os.path.join(glob.escape(self._tensorboard_path), f"{_EVENT_FILE}*")))

    def _write_restart(self, first_step: int) -> None:
        """Writes the record that makes TensorBoard drop earlier events of steps after `first_step`.

        TensorBoard ignores the first such record of a run, so the record is written twice. The data server of its
        dashboard ignores these records; it drops a series' later points when an event of an earlier step arrives.
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
    return atomic_write.explain_failures(f"{path} could not be written", ": training resumes from the last checkpoint")


def _sort_before_now(paths: list[str]) -> None:
    """Renames event files so that a file created now sorts behind them.

    TensorBoard reads files in the order of their names, which contain the time. Without renaming, it would mix up the
    events of a run that is resumed within a second, or on a machine whose clock is behind.
    """
    if paths and os.path.basename(paths[-1]) >= f"{_EVENT_FILE}{int(time.time()):010d}":
        for number, path in enumerate(paths):
            rest = os.path.basename(path)[len(_EVENT_FILE) :].partition(".")[2]
            os.rename(path, os.path.join(os.path.dirname(path), f"{_EVENT_FILE}{number:010d}.{rest}"))


def _keep_lines(path: str, last_step: int) -> None:
    """Removes the lines after a step from a metrics file, and a last line that a killed run has truncated."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file, open(f"{path}.partial", "w", encoding="utf-8") as kept:
        kept.writelines(line for line in file if line.endswith("\n") and 0 < _step(line, path) <= last_step)
    atomic_write.replace_file(f"{path}.partial", path)


def _step(line: str, path: str) -> int:
    try:
        return json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        logging.warning("%s: removed a line that has no metrics: %.40r.", path, line)
        return 0


def _flat(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (path, value) of the leaves of nested settings; values other than bool, int, float and str as JSON."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _flat(value, f"{path}.{key}" if path else key)
    else:
        yield path, tree if isinstance(tree, (bool, int, float, str)) else json.dumps(tree)


def observations(outputs: Mapping[str, tf.Tensor], batch_size: int, asked_for: Collection[str]) -> dict[str, tf.Tensor]:
    """Returns the logged values besides the losses: accuracies and statistics of the activation map.

    Args:
      outputs: named tensors with "label" [b]; "activation_map" and "...logits" are used.
      batch_size: the global batch size.
      asked_for: the names that losses use. Other logits are skipped, so that they need not be computed.

    Returns:
      name -> scalar: the sum over this replica's examples, divided by the global batch size. The replicas add up to
      the mean.
    """
    values = {}
    for name, value in outputs.items():
        if name.endswith("logits") and name in asked_for:
            hits = tf.equal(predicted_classes(value), outputs["label"])
            values[f"accuracy/{name}"] = tf.reduce_sum(tf.cast(hits, tf.float32)) / batch_size
    if "activation_map" in outputs:
        maps = tf.reshape(outputs["activation_map"], [tf.shape(outputs["activation_map"])[0], -1])
        grey = tf.cast((maps > 0.2) & (maps < 0.8), tf.float32)
        statistics = {
            "map/mean": tf.reduce_mean(maps, axis=-1),
            "map/standard_deviation": tf.math.reduce_std(maps, axis=-1),
            "map/share_on": tf.reduce_mean(tf.cast(maps > 0.5, tf.float32), axis=-1),
            "map/share_grey": tf.reduce_mean(grey, axis=-1),
        }
        values.update({name: tf.reduce_sum(value) / batch_size for name, value in statistics.items()})
    return values
