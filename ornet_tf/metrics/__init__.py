"""Metrics. A plug-in defines the class `Metric(settings, *, options...)`; see `Metric` for its interface.

A metric fixes everything between an activation map and a figure: how the map is enlarged, how boxes are computed at
thresholds, in which view the ground truth is given, which IoU counts as right, and which threshold is reported. Figures
of different metrics must not be compared.
"""
from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ornet_tf.metrics._bootstrap import Bootstrap
from ornet_tf.metrics._failure_kinds import FAILURE_KINDS, count_failures

__all__ = [
    "Bootstrap", "FAILURE_KINDS", "Metric", "Settings", "count_failures", "describe_count", "format_figure",
    "is_out_of_view",
]


class Settings(typing.NamedTuple):
    """Settings of all metrics of an evaluation.

    Attributes:
      image_size: S, side of the evaluation view in pixels.
      threshold: the fixed threshold on the activation map.
      iou_threshold: the IoU from which a box is right, for metrics that do not fix it themselves.
      components: the implementation of connected components, one of `addons_components.BACKENDS`.
      bootstrap: how intervals are computed.
    """

    image_size: int = 224
    threshold: float = 0.5
    iou_threshold: float = 0.5
    components: str = "auto"
    bootstrap: Bootstrap = Bootstrap()


class Metric(typing.Protocol):
    """Accumulates the results of one row, batch by batch.

    Maps are not stored: `measure` reduces each to the values that the figures need, in the graph and on its device.

    Attributes:
      titles: name of each set of figures that the metric reports -> the heading of its table.
      needs_masks: whether the data set must have masks.
    """

    titles: Mapping[str, str]
    needs_masks: bool

    def measure(
        self, activation_map: tf.Tensor, truth: Mapping[str, tf.Tensor], score_map: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Computes the argument of `update` in the graph, batch-major. It must not depend on earlier updates.

        Args:
          activation_map: float32 [B, h, w, 1] in 0..1.
          truth: "boxes" and "whole_boxes" float32 [B, M, 4], ymin xmin ymax xmax in fractions of the view; rows without
            area are padding. "boxes" are clipped to the view, except those outside of it. If there are masks, "mask"
            uint8 [B, S, S]: 1 for the object, 0 for background, 255 for ignored pixels.
          score_map: float32 [B, h', w', 1] in 0..1, for scores of boxes; see `methods.score_map`.
        """

    def update(self, measured: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> None:
        """Adds the output of `measure` for a batch; `truth` also has "label" int [B] and "logits" float [B, K].

        If thresholds are chosen on these images without ground truth, `truth` has "pseudo_boxes" float32 [B, 1, 4] as
        well: the boxes of the object prior's pseudo masks, zeros for an empty mask. No other figure depends on them.
        """

    def summary(self, chosen_on: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        """Returns name of `titles` -> figures, in percent and ready for JSON.

        The figures include "images", the number of all images, and the other counts that `describe_count` uses:
        "images_with_boxes", "images_with_pseudo_boxes" and "images_out_of_view", or "images_with_object".

        Args:
          chosen_on: the row's summary on another split; the figures at its best thresholds are added, and apart from
            them those at the thresholds that are the best with pseudo boxes.

        Raises:
          RuntimeError: if there was no update.
        """

    def per_image(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns name of `titles` -> column -> the results of all images, [N].

        The first column is the quality of the result: higher is better, NaN for images without ground truth.

        Raises:
          RuntimeError: if there was no update.
        """

    @staticmethod
    def cells(figures: Mapping[str, Any], threshold_split: str) -> dict[str, str]:
        """Returns column -> cell of a row's line in the table, for one set of figures of the summary."""


def is_out_of_view(boxes: Any) -> Any:
    """Returns whether images have boxes, but none inside the evaluation view.

    The centre crop of the evaluation view can cut off an object. Its image is still counted: no predicted box can
    match, so it counts as missed.

    Args:
      boxes: float [B, M, 4], tensor or array, in fractions of the view; rows without area are padding.

    Returns:
      bool tensor [B].
    """
    is_real = tf.reduce_all(boxes[..., 2:] > boxes[..., :2], axis=-1)
    is_visible = tf.reduce_all(tf.minimum(boxes[..., 2:], 1.0) > tf.maximum(boxes[..., :2], 0.0), axis=-1)
    return tf.reduce_any(is_real, axis=-1) & ~tf.reduce_any(is_real & is_visible, axis=-1)


def describe_count(figures: Mapping[str, Any], split: str) -> str:
    """Describes, for a table, the number of a split's images and how many of them have ground truth."""
    images, notes = figures["images"], []
    boxed = figures.get("images_with_boxes", images)
    if boxed < images:
        notes.append(
            f"{boxed} with a box: localization is measured on these" if boxed else
            "none with a box: localization is not measured"
        )
    if "images_with_pseudo_boxes" in figures:
        notes.append(f"{figures['images_with_pseudo_boxes'] or 'none'} with a pseudo box of the object prior")
    if outside := figures.get("images_out_of_view", 0):
        notes.append(f"{outside} with no box in the evaluation view, which count as missed")
    if figures.get("images_with_object", images) < images:
        notes.append(f"{figures['images_with_object'] or 'none'} with an object; the others are background")
    return f"{images} {split} images" + (f" ({'; '.join(notes)})" if notes else "")


def format_figure(value: float | None, interval: list[float] | None = None) -> str:
    """Formats a figure and its interval, if it has one, for a table; None becomes "-"."""
    if value is None:
        return "-"
    return f"{value:.1f}" if interval is None else f"{value:.1f} [{interval[0]:.1f}, {interval[1]:.1f}]"
