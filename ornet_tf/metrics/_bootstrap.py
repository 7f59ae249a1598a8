"""Bootstrap confidence intervals: how far a figure moves if other images of the same kind had been drawn.

The percentile method (Efron, 1979): the N images are drawn N times with replacement, the figure is computed anew, and
that as often as asked; the interval is between two quantiles of what comes out. The draws are a function of the seed
and N, so all rows of an evaluation meet the same ones. Every figure here is a function of sums over images, and all
sums of many draws are one product of matrices.
"""
from __future__ import annotations

import typing

import numpy as np

_MOST_DRAWS = 2**22  # draws, and values, that are in memory at a time
_IMAGES = 4096


class Bootstrap(typing.NamedTuple):
    """How intervals are computed.

    Attributes:
      samples: how often the images are drawn; 0 for no intervals.
      seed: of the draws.
      confidence: the share of the samples within the interval, 0..1.
    """

    samples: int = 1000
    seed: int = 0
    confidence: float = 0.95

    def sums(self, values: np.ndarray) -> np.ndarray | None:
        """Returns the sums over the images of each draw.

        Args:
          values: numbers or bool [N, ...], one row for each image; N at least 1.

        Returns:
          float64 [samples, ...]; None without samples.
        """
        if not self.samples:
            return None
        count = len(values)
        flat = values.reshape([count, -1])
        rng = np.random.default_rng(self.seed)
        sums = np.zeros([self.samples, flat.shape[1]])
        size = max(1, _MOST_DRAWS // count)
        for start in range(0, self.samples, size):
            rows = min(size, self.samples - start)
            drawn = rng.integers(0, count, [rows, count]) + count * np.arange(rows)[:, np.newaxis]
            times = np.bincount(drawn.ravel(), minlength=rows * count).reshape([rows, count])
            for first in range(0, count, _IMAGES):
                some = slice(first, first + _IMAGES)
                sums[start : start + rows] += times[:, some].astype(np.float64) @ flat[some].astype(np.float64)
        return sums.reshape([self.samples, *values.shape[1:]])

    def interval(self, figures: np.ndarray) -> list[float]:
        """Returns the lower and upper end of the interval of a figure, of which there is one for each sample; [S]."""
        tail = 50.0 * (1.0 - self.confidence)
        return [float(end) for end in np.percentile(figures, [tail, 100.0 - tail])]
