"""Metric conventions. A plug-in defines the class `Metric(settings, *, options...)`; see `Metric` for what it has.

A convention is everything between an activation map and a figure: how the map is enlarged, cut at thresholds and boxed,
what frame the truth is in, what overlap counts, and which threshold is reported. Figures of different conventions must
not be compared.
"""
from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ornet_tf.metrics._bootstrap import Bootstrap


class Settings(typing.NamedTuple):
    """What all metrics of an evaluation share.

    Attributes:
      image_size: S, side of the evaluation view in pixels.
      threshold: the one that is fixed beforehand, on the activation map as the method predicts it.
      iou_threshold: how much overlap makes a box right, where the convention leaves that open.
      components: what finds components, one of `addons_components.BACKENDS`, where there is a choice.
      bootstrap: how intervals are computed.
    """

    image_size: int = 224
    threshold: float = 0.5
    iou_threshold: float = 0.5
    components: str = "auto"
    bootstrap: Bootstrap = Bootstrap()


class Metric(typing.Protocol):
    """Accumulates one row's results of images, batch by batch, under one convention.

    Maps are not kept: `measure` makes of each what the figures need, in the graph and on the device of the map.

    Attributes:
      titles: name of each set of figures that the metric reports -> what stands above its table.
      needs_masks: whether it can be computed only where the data set has masks.
    """

    titles: Mapping[str, str]
    needs_masks: bool

    def measure(self, activation_map: tf.Tensor, truth: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Computes in the graph what `update` takes; batch-major. It depends on options alone, never on updates.

        Args:
          activation_map: float32 [B, h, w, 1] in 0..1.
          truth: "boxes" and "whole_boxes" float32 [B, M, 4], ymin xmin ymax xmax in fractions of the view, the first
            clipped to it unless they lie outside of it, rows without area are padding; "mask", where there are masks,
            uint8 [B, S, S], 1 for the object, 0 for background, 255 for what does not count.
        """

    def update(self, measured: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> None:
        """Adds what `measure` found in a batch; `truth` also has "label" int [B] and "logits" float [B, K]."""

    def summary(self, chosen_on: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        """Returns the figures by the names of `titles`, ready for JSON, in percent.

        They have "images", the number of all images, and what `counted` reads: "images_with_boxes" with
        "images_out_of_view", or "images_with_object".

        Args:
          chosen_on: the summary of the same row on another split, to report what its best thresholds give here.

        Raises:
          RuntimeError: if there was no update.
        """

    def per_image(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns by the names of `titles` the columns of each image's results, each of them [N].

        The first one says how good the result is, higher is better, NaN where there is no truth.

        Raises:
          RuntimeError: if there was no update.
        """

    @staticmethod
    def cells(figures: Mapping[str, Any], threshold_split: str) -> dict[str, str]:
        """Returns the cells of a row's line in a table, by column, of one of the summary's sets of figures."""


def out_of_view(boxes: Any) -> Any:
    """Returns which images have boxes, but none that can be seen.

    An image is not left out because the centre crop of the evaluation view leaves out its object: no box that is
    predicted in the view can match, so that it counts as missed.

    Args:
      boxes: float [B, M, 4], tensor or array, in fractions of the view; rows without area are padding.

    Returns:
      bool tensor [B].
    """
    is_real = tf.reduce_all(boxes[..., 2:] > boxes[..., :2], axis=-1)
    is_seen = tf.reduce_all(tf.minimum(boxes[..., 2:], 1.0) > tf.maximum(boxes[..., :2], 0.0), axis=-1)
    return tf.reduce_any(is_real, axis=-1) & ~tf.reduce_any(is_real & is_seen, axis=-1)


def describe_count(figures: Mapping[str, Any], split: str) -> str:
    """Returns on how many images of a split figures were measured, for a table: all of them, and those with truth."""
    images, notes = figures["images"], []
    boxed = figures.get("images_with_boxes", images)
    if boxed < images:
        notes.append(
            f"{boxed} with a box: localization is measured on these" if boxed else
            "none with a box: localization is not measured"
        )
    if outside := figures.get("images_out_of_view", 0):
        notes.append(f"{outside} with no box in the evaluation view, which count as missed")
    if figures.get("images_with_object", images) < images:
        notes.append(f"{figures['images_with_object'] or 'none'} with an object; the others are background")
    return f"{images} {split} images" + (f" ({'; '.join(notes)})" if notes else "")


def number(value: float | None, interval: list[float] | None = None) -> str:
    """Returns a figure with its interval, if it has one, for a table."""
    if value is None:
        return "-"
    return f"{value:.1f}" if interval is None else f"{value:.1f} [{interval[0]:.1f}, {interval[1]:.1f}]"
