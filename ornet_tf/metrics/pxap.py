"""PxAP, the pixel average precision of wsolevaluation: how well score maps tell the pixels of the object.

Scores are those of `score_maps`. All pixels of all images are counted together, in bins that begin at each threshold
of a grid from 0 to below 1; a score of exactly 1 has a bin of its own. Precision and recall are those of the pixels in
the highest bins; PxAP is the sum of precision times gain in recall, from the highest bin to the lowest. Pixels that are
to be ignored are not counted. There is no threshold to choose.
"""
from __future__ import annotations

import numpy as np
import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.maps import score_maps
from ornet_tf.metrics import Settings, number

IGNORED = 255


class Metric:
    """PxAP, in percent; needs masks. For each image 8 bytes are kept for each bin, 8 kB by default."""

    titles = {"pxap": "PxAP of wsolevaluation: average precision of pixels"}
    needs_masks = True

    def __init__(self, settings: Settings, *, interval: float = 0.001):
        """Takes `settings.image_size` and `bootstrap`.

        Args:
          settings: of the evaluation.
          interval: between two thresholds; the original has 0.001, on its command line 0.01.

        Raises:
          UserError: if `interval` is not from 0.0005 to below 1.
        """
        if not 0.0005 <= interval < 1:
            raise UserError(f"interval must lie between 0.0005 and 1, got {interval!r}; the original has 0.001.")
        self._size, self._bootstrap = settings.image_size, settings.bootstrap
        self._edges = np.append(np.arange(0, 1, interval), 1.0)
        self._counts = []

    def measure(self, activation_map, truth):
        """Returns "counts" int32 [B, 2, bins]: how many pixels of background and object have scores in each bin."""
        scores = score_maps.score_maps(activation_map, self._size)
        mask = tf.cast(truth["mask"], tf.int32)
        bins, batch = len(self._edges), tf.shape(scores)[0]
        place = tf.reshape(tf.searchsorted(self._edges, tf.reshape(scores, [-1]), side="right") - 1, tf.shape(scores))
        image = tf.range(batch)[:, tf.newaxis, tf.newaxis]
        segment = (image * 2 + mask) * bins + place
        segment = tf.where(tf.equal(mask, IGNORED), -1, segment)  # a negative one is left out
        ones = tf.ones_like(segment)
        return {"counts": tf.reshape(tf.math.unsorted_segment_sum(ones, segment, batch * 2 * bins), [-1, 2, bins])}

    def update(self, measured, truth):
        """Adds a batch."""
        self._counts.append(measured["counts"])

    def summary(self, chosen_on=None):
        """Returns `pxap`, and the share of pixels that are object: what a constant map has; None without object."""
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
            figures["pxap_interval"] = self._bootstrap.interval(100 * samples[~np.isnan(samples)])
        return {"pxap": figures}

    def per_image(self):
        """Returns "precision", the average precision of each image's own pixels; NaN without object."""
        return {"pxap": {"precision": average_precision(self._collected().astype(np.float64))}}

    @staticmethod
    def cells(s, threshold_split):
        """Returns the cells of a line of the table."""
        del threshold_split
        return {"PxAP": number(s["pxap"], s.get("pxap_interval")), "of a constant map": number(s["object_share"])}

    def _collected(self) -> np.ndarray:
        if not sum(len(counts) for counts in self._counts):
            raise RuntimeError("No image has been measured yet; call update first.")
        return np.concatenate(self._counts)


def average_precision(counts: np.ndarray) -> np.ndarray:
    """Returns the average precision, 0..1, of float64 [..., 2, bins] pixels in ascending bins; NaN without object."""
    false, true = np.moveaxis(np.cumsum(counts[..., ::-1], axis=-1), -2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = true / true[..., -1:]
        precision = np.where(true + false > 0, true / (true + false), 0.0)
    return np.sum(precision * np.diff(recall, axis=-1, prepend=0.0), axis=-1)
