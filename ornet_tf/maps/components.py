"""Connected components of activation maps as graph operations, for whole batches and all thresholds at once.

Two pixels are connected if they share a side or a corner (8-connectivity). `basins` explains the algorithm.
"""
from __future__ import annotations

import functools

import tensorflow as tf

from ornet_tf.maps import basins as graph

# The largest number of blocks, and of blocks times thresholds, of a chunk: its arrays should fit into the CPU's caches.
_CHUNK_BLOCKS = 2**18
_CHUNK_CELLS = 2**21
_PARALLEL_CHUNKS = 4


def label_components(binary: tf.Tensor) -> tf.Tensor:
    """Labels the 8-connected components of binary maps.

    Args:
      binary: bool [N, h, w].

    Returns:
      int32 [N, h, w]: 0 for background, else 1 + the raster index (y * w + x) of the component's first pixel.

    Raises:
      TypeError: if `binary` is not boolean.
      ValueError: if `binary` is not of rank 3.
    """
    binary = tf.convert_to_tensor(binary)
    if binary.dtype != tf.bool:
        raise TypeError(f"label_components expects a bool tensor, got {binary.dtype.name}; compare with a threshold.")
    if binary.shape.rank != 3:
        raise ValueError(f"label_components expects the shape [N, h, w], got {binary.shape}.")
    spec = tf.TensorSpec([None, None, None], tf.int32)
    return map_in_chunks(_labels, tf.cast(binary, tf.int32), tf.constant(1), spec)


def largest_extents(levels: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Finds the largest 8-connected component of each map at each threshold.

    Of equally large ones it is the one with the first pixel in raster order.

    Args:
      levels: int32 [B, h, w], how many of the thresholds each pixel exceeds.
      count: scalar int32, the number T of thresholds, at most 2047.

    Returns:
      int32 [B, T, 4]: first row, first column, last row and last column; last < first if no pixel is on.
    """
    return ranked_extents(levels, count, max_components=1)[:, :, 0]


def ranked_extents(levels: tf.Tensor, count: tf.Tensor, *, max_components: int) -> tf.Tensor:
    """Finds the largest 8-connected components of each map at each threshold, the largest first.

    Equally large ones are ordered by their first pixels in raster order.

    Args:
      levels: int32 [B, h, w], how many of the thresholds each pixel exceeds.
      count: scalar int32, the number T of thresholds, at most 2047.
      max_components: M, the largest number of components of a map.

    Returns:
      int32 [B, T, M, 4]: first row, first column, last row and last column; last < first in rows without a component.
    """
    spec = tf.TensorSpec([None, None, max_components, 4], tf.int32)
    function = functools.partial(_extents, count=count, max_components=max_components)
    return map_in_chunks(function, levels, count, spec)


def map_in_chunks(function, levels: tf.Tensor, count: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """Applies `function` to groups of maps of bounded size and joins the results along the first axis.

    Args:
      function: int32 [C, h, w] -> a tensor whose first axis is C.
      levels: int32 [B, h, w].
      count: scalar int32, the number of thresholds: the more there are, the fewer maps make a group.
      spec: of the result of `function`.

    Returns:
      The results of B maps.
    """
    batch, height, width = tf.unstack(tf.shape(levels))
    blocks = tf.reduce_prod(graph.block_grid_shape(height, width))
    checks = [
        tf.debugging.assert_less_equal(
            blocks, graph.MAX_BLOCKS, message="Components: expected at most 4 million pixels; make the maps smaller."
        ),
        tf.debugging.assert_less_equal(
            count,
            graph.MAX_THRESHOLDS,
            message=f"Components: expected at most {graph.MAX_THRESHOLDS} thresholds; pass fewer.",
        ),
    ]
    most = tf.maximum(tf.minimum(_CHUNK_BLOCKS, _CHUNK_CELLS // tf.maximum(count, 1)) // blocks, 1)
    chunks = tf.maximum((batch + most - 1) // most, 1)
    size = tf.maximum((batch + chunks - 1) // chunks, 1)
    with tf.control_dependencies([check for check in checks if check is not None]):
        levels = tf.identity(levels)
    padded = tf.pad(levels, [[0, chunks * size - batch], [0, 0], [0, 0]])
    groups = tf.reshape(padded, [chunks, size, height, width])
    results = tf.map_fn(function, groups, fn_output_signature=spec, parallel_iterations=_PARALLEL_CHUNKS)
    return tf.reshape(results, tf.concat([[chunks * size], tf.shape(results)[2:]], 0))[:batch]


def _labels(levels: tf.Tensor) -> tf.Tensor:
    """Labels the components of 0/1 maps int32 [C, h, w] as `label_components` does."""
    height, width = tf.unstack(tf.shape(levels)[1:])
    blocks = graph.split_into_blocks(levels)
    basins = graph.join_blocks(blocks)
    component = tf.gather(graph.follow_pointers(basins.parent), basins.of_block)
    firsts = [
        tf.math.unsorted_segment_min(tf.where(corner > 0, index, tf.int32.max), component, tf.size(basins.root))
        for corner, index in zip(blocks.corners, _corner_indices(blocks, width))
    ]
    label = tf.gather(functools.reduce(tf.minimum, firsts), component) + 1
    corners = tf.stack([tf.where(corner > 0, label, 0) for corner in blocks.corners])
    rows, columns = blocks.shape
    pixels = tf.transpose(tf.reshape(corners, [2, 2, -1, rows, columns]), [2, 3, 0, 4, 1])
    return tf.reshape(pixels, [-1, 2 * rows, 2 * columns])[:, :height, :width]


def _extents(levels: tf.Tensor, *, count: tf.Tensor, max_components: int) -> tf.Tensor:
    """Computes `ranked_extents` for one chunk of maps."""
    batch, _, width = tf.unstack(tf.shape(levels))
    blocks = graph.split_into_blocks(levels)
    basins = graph.join_blocks(blocks)
    area, *limits = measure_basins(blocks, basins, width, count)

    # A cell is a basin at one threshold: arrays [T, M], flattened. Cells are only connected at the same threshold.
    threshold = tf.range(count)[:, tf.newaxis]
    basin = tf.range(tf.size(basins.root))
    component = tf.where(basins.level > threshold, basins.parent, basin) + threshold * tf.size(basin)
    component = graph.follow_pointers(tf.reshape(component, [-1]))
    total = tf.math.unsorted_segment_sum(area, component, tf.size(component))
    first = tf.math.unsorted_segment_min(limits[0], component, tf.size(component))
    # Order by area, then by first pixel: a score that no two components of a map share.
    score = tf.cast(total, tf.int64) * 2**31 + (2**31 - 1 - tf.cast(first, tf.int64))
    score = tf.gather(score, component)

    image = tf.reshape(threshold * batch + basins.root // tf.reduce_prod(blocks.shape), [-1])
    ranked = []
    for _ in range(max_components):
        best = tf.gather(tf.math.unsorted_segment_max(score, image, count * batch), image)
        is_best = tf.equal(score, best)
        has_pixels = tf.logical_and(is_best, area > 0)
        index, left, below, right = (
            tf.math.unsorted_segment_min(tf.where(has_pixels, values, tf.int32.max), image, count * batch)
            for values in limits
        )
        ranked.append(tf.stack([index // width, left, -below, -right]))
        score = tf.where(is_best, tf.constant(-1, score.dtype), score)
        area = tf.where(is_best, 0, area)
    return tf.transpose(tf.reshape(tf.stack(ranked), [max_components, 4, count, batch]), [3, 2, 0, 1])


def measure_basins(blocks: graph.Blocks, basins: graph.Basins, width: tf.Tensor, count: tf.Tensor) -> list:
    """Measures the pixels of each basin that are on at each threshold.

    Args:
      blocks: the blocks of the maps.
      basins: the basins of `blocks`.
      width: scalar int32, the width of the maps.
      count: scalar int32, the number T of thresholds.

    Returns:
      int32 [T * M] each: the area in pixels; raster index of the first pixel; first column; last row times -1;
      last column times -1. If no pixel is on, the last four are the largest int32.
    """
    size = tf.size(basins.root)
    cells = (count + 1) * size

    def smallest(*pairs):
        return functools.reduce(
            tf.minimum,
            [tf.math.unsorted_segment_min(value, level * size + basins.of_block, cells) for level, value in pairs],
        )

    row, column = blocks.row, blocks.column
    limits = [
        smallest(*zip(blocks.corners, _corner_indices(blocks, width))),
        smallest((blocks.left, column), (blocks.right, column + 1)),
        smallest((blocks.bottom, -row - 1), (blocks.top, -row)),
        smallest((blocks.right, -column - 1), (blocks.left, -column)),
    ]
    members = tf.concat([corner * size + basins.of_block for corner in blocks.corners], 0)
    area = tf.math.bincount(members, minlength=cells, maxlength=cells)
    # The tables are by the exact level of the pixels, including level 0, which is dropped. A pixel is on at every
    # threshold up to its level, so the values of all higher levels are added.
    area, *limits = (tf.reshape(table, [-1, size])[1:] for table in (area, *limits))
    area = _accumulate_from_end(tf.add, area[tf.newaxis], 0)[0]
    limits = tf.unstack(_accumulate_from_end(tf.minimum, tf.stack(limits), tf.int32.max))
    return [tf.reshape(table, [-1]) for table in (area, *limits)]


def _accumulate_from_end(operation, tables: tf.Tensor, neutral) -> tf.Tensor:
    """Combines each value with all later ones on the middle axis of int32 [n, T, M]."""

    def double(shift, tables):
        shifted = tf.pad(tables[:, shift:], [[0, 0], [0, shift], [0, 0]], constant_values=neutral)
        return 2 * shift, operation(tables, shifted)

    return tf.while_loop(lambda shift, _: shift < tf.shape(tables)[1], double, (1, tables))[1]


def _corner_indices(blocks: graph.Blocks, width: tf.Tensor) -> list:
    """Returns the raster indices, within their map, of the four pixels of each block, int32 [N] each."""
    index = blocks.row * width + blocks.column
    return [index, index + 1, index + width, index + width + 1]
