"""The masks of toybirds with head and body told apart; those of `toybirds.load` hold object and background only."""
from __future__ import annotations

import numpy as np

from ornet_tf.data.source import SPLITS
from ornet_tf.datasets import _toybirds_drawing as drawing


def draw(count: int, *, image_size: int = 64, split: str = "test", **looks) -> np.ndarray:
    """Returns uint8 [N, image_size, image_size]: 0 background, drawing.BODY (with tail), drawing.HEAD."""
    style = drawing.Style(image_size, 6, 0.25, 0.25, 16.0, distractor_count=0)._replace(**looks)
    indices = np.arange(count)
    return drawing.draw(0, SPLITS.index(split), indices, indices % style.num_classes, style)[1]
