"""Contours of level maps, as OpenCV's findContours draws them: whole batches and all thresholds at once.

A component of pixels that are on (8-connected) has an outer contour: the polygon through the centres of its border
pixels. A hole in it, a 4-connected part of what is off that does not reach the frame, has a contour as well, through
the centres of the pixels around it. The bounding box of the first is that of the component, the bounding box of the
second that of the hole, grown by a pixel on each side.

Area. What an outer contour encloses is the component and all that is in its holes. By Pick's theorem such a polygon is
made of the squares between four neighbouring pixel centres: a whole one where all four are enclosed, half of one where
three are. So in each square the two lowest pixels count a half each, whatever the threshold: these are the last to
come. The area is the sum of these weights over the enclosed pixels, which is a sum over a tree of components and holes
one in the other. Nothing is drawn, so a thousand contours cost as little as one.

What is off gets its components from the same graph as what is on: on a grid of twice the resolution, where the nodes
between two neighbours are off if both of them are, connection by corners is connection by sides.
"""
from __future__ import annotations

import typing
from collections.abc import Callable

import tensorflow as tf

from ornet_tf.maps import basins as graph
from ornet_tf.maps import components

MAX_PIXELS = 10**6


class _Parts(typing.NamedTuple):
    """The R components of C level maps at all T thresholds, and how to find the one that a pixel is in.

    Attributes:
      threshold, image: int32 [R], where each is.
      weight: int32 [R], the sum over its pixels.
      first: int32 [R], the raster index of its first pixel.
      left, bottom, right: int32 [R], its first column, last row and last column.
      of_block: int32 [N], the basin of each block.
      grid: scalar int32 rows and columns of blocks per map.
      number: int32 [T, M], threshold and basin -> component.
    """

    threshold: tf.Tensor
    image: tf.Tensor
    weight: tf.Tensor
    first: tf.Tensor
    left: tf.Tensor
    bottom: tf.Tensor
    right: tf.Tensor
    of_block: tf.Tensor
    grid: tuple
    number: tf.Tensor


def largest_extents(levels: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Finds the contour with the largest area of each map at each threshold.

    Of several that are equally large it is the one whose first pixel is the last in raster order, which is the first
    one in OpenCV's list.

    Args:
      levels: int32 [B, h, w], how many of the thresholds each pixel exceeds; at most a million pixels a map.
      count: scalar int32, the number T of thresholds, at most 2047.

    Returns:
      int32 [B, T, 4]: first row, first column, last row and last column; last < first where no pixel is on.
    """

    def largest(levels):
        batch, width = tf.shape(levels)[0], tf.shape(levels)[2]
        on, off = _on_and_off(levels, count, with_weights=True)
        area, slot = _enclosed(on, off, width, count), on.threshold * batch + on.image
        # The largest area wins, then the last first pixel: one number that no two components of a map share. A contour
        # inside another is smaller, so it never wins.
        score = tf.cast(area, tf.int64) * 2**31 + tf.cast(on.first, tf.int64)
        wins = tf.equal(score, tf.gather(tf.math.unsorted_segment_max(score, slot, count * batch), slot))
        winner = tf.where(wins)[:, 0]
        extents = tf.gather(_outer_extents(on, width), winner)
        nothing = tf.tile([[0, 0, -1, -1]], [count * batch, 1])
        table = tf.tensor_scatter_nd_update(nothing, tf.gather(slot, winner)[:, tf.newaxis], extents)
        return tf.transpose(tf.reshape(table, [count, batch, 4]), [1, 0, 2])

    return components.map_in_chunks(largest, _framed(levels), count, tf.TensorSpec([None, None, 4], tf.int32))


def best_score(
    levels: tf.Tensor, count: tf.Tensor, score: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], truth: tf.Tensor
) -> tf.Tensor:
    """Returns the highest score among all contours of each map at each threshold, those of holes included.

    Args:
      levels: int32 [B, h, w], how many of the thresholds each pixel exceeds; at most a million pixels a map.
      count: scalar int32, the number T of thresholds, at most 2047.
      score: maps extents int32 [R, 4] (first row, first column, last row, last column) of R contours, and the R rows of
        `truth` that belong to their maps, to float64 [R] of at least 0.
      truth: any tensor whose first axis is B.

    Returns:
      float64 [B, T]; -1 where there is no contour.
    """

    def best(levels, truth):
        batch, width = tf.shape(levels)[0], tf.shape(levels)[2]
        on, off = _on_and_off(levels, count, with_weights=False)
        hole = tf.where(off.first > 0)[:, 0]
        extents = tf.concat([_outer_extents(on, width), tf.gather(_hole_extents(off, width), hole)], 0)
        image = tf.concat([on.image, tf.gather(off.image, hole)], 0)
        slot = tf.concat([on.threshold, tf.gather(off.threshold, hole)], 0) * batch + image
        scores = score(extents, tf.gather(truth, image))
        table = tf.maximum(tf.math.unsorted_segment_max(scores, slot, count * batch), -1.0)
        return tf.transpose(tf.reshape(table, [count, batch]))

    spec = tf.TensorSpec([None, None], tf.float64)
    return components.map_in_chunks(best, _framed(levels), count, spec, truth)


def _framed(levels: tf.Tensor) -> tf.Tensor:
    """Adds a frame that is always off."""
    check = tf.debugging.assert_less_equal(
        tf.reduce_prod(tf.shape(levels)[1:]), MAX_PIXELS, message="Contours need maps of at most a million pixels."
    )
    with tf.control_dependencies([] if check is None else [check]):
        return tf.pad(levels, [[0, 0], [1, 1], [1, 1]])


def _on_and_off(levels: tf.Tensor, count: tf.Tensor, *, with_weights: bool) -> tuple[_Parts, _Parts]:
    """Returns the components of what is on, and those of what is off on the doubled grid."""
    weights = _half_squares(levels) if with_weights else tf.zeros_like(levels)
    on = _parts(levels, count, weights)
    # Off at threshold k is on at threshold T - 1 - k of the inverted levels.
    off = _parts(_doubled(count - levels, joined=True), count, _doubled(weights, joined=False))
    return on, off._replace(threshold=count - 1 - off.threshold)


def _half_squares(levels: tf.Tensor) -> tf.Tensor:
    """Returns for each pixel in how many squares of four neighbours it is one of the two lowest; int32 [C, h, w]."""
    height, width = tf.unstack(tf.shape(levels)[1:])
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    squares = [levels[:, y : height - 1 + y, x : width - 1 + x] for y, x in places]
    total = tf.zeros_like(levels)
    for i, (y, x) in enumerate(places):
        # Of equal ones the earlier is the lower: which one it is changes nothing, but it has to be one.
        lower = [
            tf.cast(other <= squares[i] if j < i else other < squares[i], tf.int32)
            for j, other in enumerate(squares) if j != i
        ]
        is_lowest = tf.cast(tf.add_n(lower) < 2, tf.int32)
        total += tf.pad(is_lowest, [[0, 0], [y, 1 - y], [x, 1 - x]])
    return total


def _doubled(values: tf.Tensor, *, joined: bool) -> tf.Tensor:
    """Puts int32 [C, h, w] on the even places of [C, 2h, 2w]; between two of them stands the lower one if `joined`."""
    nothing = tf.zeros_like(values)
    right = tf.pad(tf.minimum(values[:, :, 1:], values[:, :, :-1]), [[0, 0], [0, 0], [0, 1]]) if joined else nothing
    below = tf.pad(tf.minimum(values[:, 1:], values[:, :-1]), [[0, 0], [0, 1], [0, 0]]) if joined else nothing
    cells = tf.stack([tf.stack([values, right], -1), tf.stack([below, nothing], -1)], 2)  # [C, h, 2, w, 2]
    return tf.reshape(cells, tf.shape(values) * [1, 2, 2])


def _parts(levels: tf.Tensor, count: tf.Tensor, weights: tf.Tensor) -> _Parts:
    """Finds the components of level maps [C, h, w] at each threshold."""
    width = tf.shape(levels)[2]
    blocks = graph.split_into_blocks(levels)
    basins = graph.join_blocks(blocks)
    weights = tf.concat(graph.split_into_blocks(weights).corners, 0)
    measured = components.measure(blocks, basins, width, count, weights)

    size = tf.size(basins.root)
    threshold, basin = tf.range(count)[:, tf.newaxis], tf.range(size)
    cell = tf.where(basins.level > threshold, basins.parent, basin) + threshold * size
    cell = graph.follow_pointers(tf.reshape(cell, [-1]))
    weight = tf.math.unsorted_segment_sum(measured[0], cell, count * size)
    first, left, bottom, right = (tf.math.unsorted_segment_min(m, cell, count * size) for m in measured[1:])
    found = tf.cast(tf.where(first < tf.int32.max)[:, 0], tf.int32)
    place = tf.scatter_nd(found[:, tf.newaxis], tf.range(tf.size(found)), [count * size])
    return _Parts(
        threshold=found // size,
        image=tf.gather(basins.root // tf.reduce_prod(blocks.shape), found % size),
        weight=tf.gather(weight, found),
        first=tf.gather(first, found),
        left=tf.gather(left, found),
        bottom=-tf.gather(bottom, found),
        right=-tf.gather(right, found),
        of_block=basins.of_block,
        grid=blocks.shape,
        number=tf.reshape(tf.gather(place, cell), [count, size]),
    )


def _at(parts: _Parts, threshold: tf.Tensor, image: tf.Tensor, row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    """Returns the numbers of the components that pixels, which are in one, are in; all int32 [n]."""
    rows, columns = parts.grid
    basin = tf.gather(parts.of_block, (image * rows + row // 2) * columns + column // 2)
    return tf.gather_nd(parts.number, tf.stack([threshold, basin], axis=-1))


def _enclosed(on: _Parts, off: _Parts, width: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Returns twice the area within the outer contour of each component that is on, int32 [R]."""
    # The pixel above the first one of a component is in what surrounds it; the first node of a component on the
    # doubled grid is a pixel. All that is off and reaches the frame surrounds itself.
    row, column = on.first // width, on.first % width
    around_on = tf.size(on.first) + _at(off, count - 1 - on.threshold, on.image, 2 * (row - 1), 2 * column)
    is_hole = off.first > 0
    row, column = off.first // (2 * width) // 2, off.first % (2 * width) // 2
    around_off = _at(on, off.threshold, off.image, tf.maximum(row - 1, 0), column)
    itself = tf.size(on.first) + tf.range(tf.size(off.first))
    parent = tf.concat([around_on, tf.where(is_hole, around_off, itself)], 0)
    own = tf.concat([on.weight, off.weight], 0)

    def climb(ancestor, total, _):
        further = tf.gather(parent, ancestor)
        goes_on = tf.not_equal(further, ancestor)
        total += tf.math.unsorted_segment_sum(tf.where(goes_on, own, 0), further, tf.size(parent))
        return further, total, tf.reduce_any(goes_on)

    start = tf.range(tf.size(parent))
    total = tf.while_loop(lambda *state: state[2], climb, (start, own, tf.constant(True)))[1]
    return total[: tf.size(on.first)]


def _outer_extents(on: _Parts, width: tf.Tensor) -> tf.Tensor:
    """Returns the extents of components in the map without its frame, int32 [R, 4]."""
    return tf.stack([on.first // width, on.left, on.bottom, on.right], axis=-1) - 1


def _hole_extents(off: _Parts, width: tf.Tensor) -> tf.Tensor:
    """Returns the extents of holes, grown by the pixels around them, in the map without its frame; int32 [R, 4]."""
    top, left = off.first // (2 * width) // 2, off.left // 2
    return tf.stack([top - 2, left - 2, off.bottom // 2, off.right // 2], axis=-1)
