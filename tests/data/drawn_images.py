"""Images of several sizes that differ everywhere, and sources of files in memory."""
import numpy as np

from ornet_tf.data.source import Source

SIZES = [(30, 40), (24, 24), (61, 33), (20, 26)]  # height, width; in turn


def draw():
    """Returns ten images, uint8 [H, W, 3]."""
    drawn = np.random.default_rng(7)
    return [drawn.integers(0, 256, (*SIZES[i % len(SIZES)], 3), np.uint8) for i in range(10)]


def source_of(files, boxes=None, masks=None):
    """Returns a source of encoded files, of three classes in turn."""
    labels = np.arange(len(files)) % 3
    return Source("abc", files, [f"{i}.jpg" for i in range(len(files))], labels, boxes, masks)
