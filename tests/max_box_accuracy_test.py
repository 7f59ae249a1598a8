"""MaxBoxAcc and MaxBoxAccV2 against the original's values, and against a plain program of what it does with OpenCV."""
import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import contours, registry, score_maps
from ornet_tf.bootstrap import Bootstrap
from ornet_tf.protocols import Settings
from ornet_tf.protocols._max_box_accuracy import best_iou, boxes_of, whole_pixels

TAUS = np.arange(0, 1, 0.2)


def largest_boxes(scores, taus):
    """Returns the box x0 y0 x1 y1 of each cut of a square map that already is a score map."""
    grey = score_maps.grey_levels(tf.constant(scores, tf.float64))
    cuts = [int(tau * 255) for tau in taus]
    extents = contours.largest_extents(tf.searchsorted(cuts, tf.reshape(grey, [-1]))[tf.newaxis], 0) if False else None
    del extents
    levels = tf.reshape(tf.searchsorted(cuts, tf.reshape(grey, [-1])), [1, *scores.shape])
    return contours.largest_extents(levels, tf.constant(len(cuts)))[0]


def overlap(a, b):
    return float(best_iou(tf.constant(a, tf.float64), tf.constant([b], tf.float64)))


def test_the_originals_overlaps():
    assert overlap([1, 2, 5, 6], [3, 1, 4, 5]) == 8 / 27
    assert overlap([0, 0, 0, 0], [0, 0, 0, 0]) == 1.0
    assert overlap([0, 0, 1, 1], [2, 0, 3, 1]) == 0.0
