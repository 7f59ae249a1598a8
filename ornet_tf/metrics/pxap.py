"""PxAP, the pixel average precision of wsolevaluation: how well score maps separate object and background pixels.

Scores are those of `score_maps`. The pixels of all images are counted together, in bins that begin at the thresholds of
a grid from 0 to below 1; a score of exactly 1 has its own bin. PxAP is the sum of precision times the increase in
recall, from the highest bin to the lowest. Ignored pixels are not counted. No threshold is chosen.
"""
from __future__ import annotations

import numpy as np
import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.maps import score_maps
from ornet_tf.metrics import Settings, format_figure

IGNORED = 255


class Metric:
    """PxAP, in percent; needs masks. It keeps 8 bytes per image and bin, by default 8 kB per image."""

    titles = {"pxap": "PxAP of wsolevaluation: average precision of pixels"}
    needs_masks = True

    def __init__(self, settings: Settings, *, interval: float = 0.001):
        """Uses `image_size` and `bootstrap` of the settings.

        Args:
          settings: the settings of the evaluation.
          interval: distance between two thresholds; the original has 0.001, on its command line 0.01.

        Raises:
          UserError: if `interval` is not from 0.0005 to below 1.
        """
        if not 0.0005 <= interval < 1:
            raise UserError(f"interval: expected at least 0.0005 and below 1, got {interval!r}; try 0.001.")
        self._size, self._bootstrap = settings.image_size, settings.bootstrap
        self._edges = np.append(np.arange(0, 1, interval), 1.0)
        self._counts = []

    def measure(self, activation_map, truth, score_map):
        """Returns "counts" int32 [B, 2, bins]: the number of background and object pixels in each bin."""
        scores = score_maps.score_maps(activation_map, self._size)
        mask = tf.cast(truth["mask"], tf.int32)
        bins, batch = len(self._edges), tf.shape(scores)[0]
        index = tf.reshape(tf.searchsorted(self._edges, tf.reshape(scores, [-1]), side="right") - 1, tf.shape(scores))
        image = tf.range(batch)[:, tf.newaxis, tf.newaxis]
        segment = (image * 2 + mask) * bins + index
        segment = tf.where(tf.equal(mask, IGNORED), -1, segment)  # negative segments are dropped
        ones = tf.ones_like(segment)
        return {"counts": tf.reshape(tf.math.unsorted_segment_sum(ones, segment, batch * 2 * bins), [-1, 2, bins])}

    def update(self, measured, truth):
        """Adds a batch."""
        self._counts.append(measured["counts"])

    def summary(self, chosen_on=None):
        """Returns `pxap`, or None without object pixels, and `object_share`, which is the PxAP of a constant map."""
        del chosen_on
        counts = self._collected()
        pooled = counts.sum(axis=0, dtype=np.float64)
        precision = average_precision(pooled)
        figures = {
            "images": len(counts),
            "images_with_object": int(np.count_nonzero(counts[:, 1].any(axis=-1))),
            "thresholds": len(self._edges) - 1,
            "pxap": None if np.isnan(precision) else float(100 * precision),
            "object_share": float(100 * pooled[1].sum() / max(pooled.sum(), 1)),
        }
        sums = None if np.isnan(precision) else self._bootstrap.sums(counts)
        if sums is not None:
            samples = average_precision(sums)
            figures["pxap_interval"] = self._bootstrap.interval(100 * samples)
        return {"pxap": figures}

    def per_image(self):
        """Returns "precision", the average precision of each image's pixels; NaN without object pixels."""
        return {"pxap": {"precision": average_precision(self._collected().astype(np.float64))}}

    @staticmethod
    def cells(figures, threshold_split):
        """Returns the cells of a line of the table."""
        del threshold_split
        pxap = format_figure(figures["pxap"], figures.get("pxap_interval"))
        return {"PxAP": pxap, "of a constant map": format_figure(figures["object_share"])}

    def _collected(self) -> np.ndarray:
        if not sum(len(counts) for counts in self._counts):
            raise RuntimeError("No image has been measured yet; call update first.")
        return np.concatenate(self._counts)


def average_precision(counts: np.ndarray) -> np.ndarray:
    """Returns the average precision of pixel counts in ascending bins.

    Args:
      counts: float64 [..., 2, bins], background and object pixels.

    Returns:
      float64 [...] in 0..1; NaN without object pixels.
    """
    negatives, positives = np.moveaxis(np.cumsum(counts[..., ::-1], axis=-1), -2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = positives / positives[..., -1:]
        precision = np.where(positives + negatives > 0, positives / (positives + negatives), 0.0)
    return np.sum(precision * np.diff(recall, axis=-1, prepend=0.0), axis=-1)
