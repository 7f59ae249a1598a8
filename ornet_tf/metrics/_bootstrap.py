"""Bootstrap confidence intervals: how much a figure would vary with other images of the same kind.

The percentile method (Efron, 1979): each sample draws N of the N images with replacement and computes the figure; the
interval lies between two quantiles of the figures of all samples. The draws are a function of the seed and N, so they
are the same for all rows of an evaluation. All figures are functions of sums over images, and the sums of many samples
are computed by one matrix product.
"""
from __future__ import annotations

import typing
from collections.abc import Iterator

import numpy as np

_MAX_DRAWS = 2**22  # in memory at a time
_MAX_IMAGES = 4096  # in one matrix product


class Bootstrap(typing.NamedTuple):
    """How intervals are computed.

    Attributes:
      samples: the number of samples; 0 for no intervals.
      seed: the seed of the draws.
      confidence: the share of samples inside the interval, 0..1.
    """

    samples: int = 1000
    seed: int = 0
    confidence: float = 0.95

    def sums(self, values: np.ndarray) -> np.ndarray | None:
        """Returns the sums over the images of each sample.

        Args:
          values: numbers or bool [N, ...], one row for each image; N at least 1.

        Returns:
          float64 [samples, ...]; None if `samples` is 0.
        """
        if not self.samples:
            return None
        count = len(values)
        flat = values.reshape([count, -1])
        sums = []
        for times in self.draws(count):
            parts = [slice(first, first + _MAX_IMAGES) for first in range(0, count, _MAX_IMAGES)]
            sums.append(sum(times[:, part].astype(np.float64) @ flat[part].astype(np.float64) for part in parts))
        return np.concatenate(sums).reshape([self.samples, *values.shape[1:]])

    def draws(self, count: int) -> Iterator[np.ndarray]:
        """Yields how often each of `count` images is in each sample: int64 [n, count], for n samples at a time."""
        rng = np.random.default_rng(self.seed)
        size = max(1, _MAX_DRAWS // count)
        for start in range(0, self.samples, size):
            rows = min(size, self.samples - start)
            drawn = rng.integers(0, count, [rows, count]) + count * np.arange(rows)[:, np.newaxis]
            yield np.bincount(drawn.ravel(), minlength=rows * count).reshape([rows, count])

    def interval(self, figures: np.ndarray) -> list[float]:
        """Returns the lower and upper end of the interval for the figures of all samples, [samples], in percent.

        Samples without a figure are NaN and left out. If all are, the interval is 0 to 100: nothing is known.
        """
        tail, known = 50.0 * (1.0 - self.confidence), figures[~np.isnan(figures)]
        return [float(end) for end in np.percentile(known, [tail, 100.0 - tail])] if known.size else [0.0, 100.0]
