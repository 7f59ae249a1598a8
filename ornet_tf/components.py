"""Connected components of activation maps in the graph: whole batches and all thresholds at once.

Two pixels belong together if they touch by a side or a corner (8-connectivity). Maps enter as levels: the level of a
pixel is the number of thresholds below its value, so it is on at the thresholds 1..level. All thresholds are then
solved together, on a graph that shrinks quickly:

1. Blocks. The on pixels of a 2x2 block always touch each other, so a block is one node: a quarter of the pixels.
2. Basins. A block whose highest pixel touches another block's pixel that is at least as high is tied to that block,
   at every level that it reaches. Following these ties uphill ends in one root per basin.
3. Forest. Boruvka's algorithm ties the basins by their highest passes: basin b to `parent[b]`, at the levels up to
   `level[b]`. Each round at least halves the number of trees, so spirals take few rounds as well.
4. Components. At threshold k the ties with level >= k hold; following them names the component of (basin, k).

Ties are followed by pointer doubling: as many steps as the logarithm of the longest path.
"""
from __future__ import annotations

import functools
import typing

import tensorflow as tf

# A key holds a level above a block number in 31 bits.
_BLOCK_BITS = 20
_MAX_BLOCKS = 2**_BLOCK_BITS
_MAX_THRESHOLDS = 2 ** (31 - _BLOCK_BITS) - 1
# Blocks, and blocks times thresholds, that are worked on at a time: arrays that stay near the processor.
_CHUNK_BLOCKS = 2**18
_CHUNK_CELLS = 2**21
_PARALLEL_CHUNKS = 4


class _Blocks(typing.NamedTuple):
    """The 2x2 blocks of C level maps in raster order, each map with one spare row and column of empty blocks.

    The spare ones let a shift of the flat arrays stand for a step to a neighbour. N = C * rows * columns.

    Attributes:
      corners: int32 levels [N] of the top left, top right, bottom left and bottom right pixels.
      top, bottom, left, right: int32 [N], the higher level of the two pixels on that side.
      peak: int32 [N], the highest of the four.
      rows, columns: scalar int32, blocks per map.
    """

    corners: list
    top: tf.Tensor
    bottom: tf.Tensor
    left: tf.Tensor
    right: tf.Tensor
    peak: tf.Tensor
    rows: tf.Tensor
    columns: tf.Tensor


class _Basins(typing.NamedTuple):
    """M groups of blocks, each around a local maximum, and how they are tied. Basin 0 is empty.

    Attributes:
      of_block: int32 [N]; arbitrary for blocks that are off at every threshold.
      root: int32 [M], a block of the basin.
      parent: int32 [M], the basin that it is tied to; itself if none.
      level: int32 [M], the highest level at which it is; 0 if none.
    """

    of_block: tf.Tensor
    root: tf.Tensor
    parent: tf.Tensor
    level: tf.Tensor


def label_components(binary: tf.Tensor) -> tf.Tensor:
    """Labels the 8-connected components of binary images.

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
    return _in_chunks(_labels, tf.cast(binary, tf.int32), tf.constant(1), spec)


def largest_extents(levels: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Finds the largest 8-connected component of each map at each threshold.

    Of several that are equally large it is the one with the first pixel in raster order.

    Args:
      levels: int32 [B, h, w], how many of the thresholds each pixel exceeds.
      count: scalar int32, the number T of thresholds, at most 2047.

    Returns:
      int32 [B, T, 4]: first row, first column, last row and last column; last < first where no pixel is on.
    """
    spec = tf.TensorSpec([None, None, 4], tf.int32)
    return _in_chunks(functools.partial(_extents, count=count), levels, count, spec)


def _in_chunks(function, levels: tf.Tensor, count: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """Applies `function` to groups of maps [C, h, w] of bounded size and joins the results along the first axis."""
    batch, height, width = tf.unstack(tf.shape(levels))
    blocks = ((height + 1) // 2 + 1) * ((width + 1) // 2 + 1)
    checks = [
        tf.debugging.assert_less_equal(
            blocks, _MAX_BLOCKS, message="Components need maps of at most 4 million pixels; make the maps smaller."
        ),
        tf.debugging.assert_less_equal(
            count, _MAX_THRESHOLDS, message=f"Components take at most {_MAX_THRESHOLDS} thresholds at once; give fewer."
        ),
    ]
    most = tf.maximum(tf.minimum(_CHUNK_BLOCKS, _CHUNK_CELLS // tf.maximum(count, 1)) // blocks, 1)
    chunks = tf.maximum((batch + most - 1) // most, 1)
    size = tf.maximum((batch + chunks - 1) // chunks, 1)
    with tf.control_dependencies([check for check in checks if check is not None]):
        padded = tf.pad(levels, [[0, chunks * size - batch], [0, 0], [0, 0]])
    grouped = tf.reshape(padded, [chunks, size, height, width])
    results = tf.map_fn(function, grouped, fn_output_signature=spec, parallel_iterations=_PARALLEL_CHUNKS)
    return tf.reshape(results, tf.concat([[chunks * size], tf.shape(results)[2:]], 0))[:batch]


def _labels(levels: tf.Tensor) -> tf.Tensor:
    """Labels the components of 0/1 maps int32 [C, h, w] as `label_components` does."""
    height, width = tf.unstack(tf.shape(levels)[1:])
    blocks = _blocks(levels)
    basins = _basins(blocks)
    component = tf.gather(_follow(basins.parent), basins.of_block)
    index = _corner_indices(blocks, width)
    firsts = [
        tf.math.unsorted_segment_min(tf.where(corner > 0, i, tf.int32.max), component, tf.size(basins.root))
        for corner, i in zip(blocks.corners, index)
    ]
    label = tf.gather(functools.reduce(tf.minimum, firsts), component) + 1
    corners = tf.stack([tf.where(corner > 0, label, 0) for corner in blocks.corners])
    corners = tf.reshape(corners, [2, 2, -1, blocks.rows, blocks.columns])
    pixels = tf.transpose(corners, [2, 3, 0, 4, 1])  # [C, rows, 2, columns, 2]
    return tf.reshape(pixels, [-1, 2 * blocks.rows, 2 * blocks.columns])[:, :height, :width]


def _extents(levels: tf.Tensor, *, count: tf.Tensor) -> tf.Tensor:
    """Computes `largest_extents` for one chunk of maps."""
    batch, _, width = tf.unstack(tf.shape(levels))
    blocks = _blocks(levels)
    basins = _basins(blocks)
    area, limits = _measure(blocks, basins, width, count)  # [M, T], [M, 4, T]

    # A cell is a basin at a threshold k; its number is basin * T + k - 1.
    k = tf.range(1, count + 1)
    itself = tf.range(tf.size(basins.root))
    tied_to = tf.where(basins.level[:, tf.newaxis] >= k, basins.parent[:, tf.newaxis], itself[:, tf.newaxis])
    component = _follow(tf.reshape(tied_to * count + k - 1, [-1]))
    cells = tf.size(component)
    total = tf.math.unsorted_segment_sum(tf.reshape(area, [-1]), component, cells)
    first = tf.math.unsorted_segment_min(tf.reshape(limits[:, 0], [-1]), component, cells)
    # The largest area wins, then the smallest first pixel: one number that no two components of a map share.
    score = tf.cast(total, tf.int64) * 2**31 + (2**31 - 1 - tf.cast(first, tf.int64))
    score = tf.reshape(tf.gather(score, component), tf.shape(area))

    image = basins.root // (blocks.rows * blocks.columns)
    best = tf.gather(tf.math.unsorted_segment_max(score, image, batch), image)
    wins = tf.logical_and(tf.equal(score, best), area > 0)
    limits = tf.where(wins[:, tf.newaxis], limits, tf.int32.max)
    index, left, below, right = tf.unstack(tf.math.unsorted_segment_min(limits, image, batch), axis=1)
    return tf.stack([index // width, left, -below, -right], axis=-1)


def _blocks(levels: tf.Tensor) -> _Blocks:
    """Cuts level maps int32 [C, h, w] into 2x2 blocks."""
    batch, height, width = tf.unstack(tf.shape(levels))
    rows, columns = (height + 1) // 2 + 1, (width + 1) // 2 + 1
    padded = tf.pad(levels, [[0, 0], [0, 2 * rows - height], [0, 2 * columns - width]])
    corners = tf.transpose(tf.reshape(padded, [batch * rows, 2, columns, 2]), [1, 3, 0, 2])
    a, b, c, d = tf.unstack(tf.reshape(corners, [4, -1]))
    top, bottom = tf.maximum(a, b), tf.maximum(c, d)
    left, right = tf.maximum(a, c), tf.maximum(b, d)
    return _Blocks([a, b, c, d], top, bottom, left, right, tf.maximum(top, bottom), rows, columns)


def _corner_indices(blocks: _Blocks, width: tf.Tensor) -> list:
    """Returns the raster indices in their maps of the four pixels of each block, int32 [N] each."""
    row, column = _block_places(blocks)
    index = row * width + column
    return [index, index + 1, index + width, index + width + 1]


def _block_places(blocks: _Blocks):
    """Returns the row and the column of the top left pixel of each block, int32 [N] each."""
    maps = tf.size(blocks.peak) // (blocks.rows * blocks.columns)
    rows, columns = tf.meshgrid(2 * tf.range(blocks.rows), 2 * tf.range(blocks.columns), indexing="ij")
    return tf.tile(tf.reshape(rows, [-1]), [maps]), tf.tile(tf.reshape(columns, [-1]), [maps])


def _measure(blocks: _Blocks, basins: _Basins, width: tf.Tensor, count: tf.Tensor):
    """Measures the part of each basin that is on at each threshold.

    Returns:
      area: int32 [M, T] in pixels.
      limits: int32 [M, 4, T], where the smallest is wanted of each: raster index of the first pixel, first column,
        last row times -1, last column times -1. Where the area is 0, the largest int32.
    """
    row, column = _block_places(blocks)
    base = basins.of_block * (count + 1)
    table = tf.stack([tf.size(basins.root), count + 1])
    cells = table[0] * table[1]
    smallest = {
        "index": zip(blocks.corners, _corner_indices(blocks, width)),
        "left": ((blocks.left, column), (blocks.right, column + 1)),
        "below": ((blocks.bottom, -row - 1), (blocks.top, -row)),
        "right": ((blocks.right, -column - 1), (blocks.left, -column)),
    }
    limits = tf.stack(
        [
            functools.reduce(
                tf.minimum, [tf.math.unsorted_segment_min(value, base + level, cells) for level, value in pairs]
            )
            for pairs in smallest.values()
        ]
    )
    area = tf.math.bincount(tf.concat([base + c for c in blocks.corners], 0), minlength=cells, maxlength=cells)
    # So far by the exact level of the pixels, 0 included; a pixel is on at every threshold up to its level.
    area = tf.cumsum(tf.reshape(area, table)[:, 1:], axis=1, reverse=True)
    limits = tf.transpose(tf.reshape(limits, tf.concat([[4], table], 0))[..., 1:], [1, 0, 2])
    return area, _running_minimum(limits)


def _running_minimum(table: tf.Tensor) -> tf.Tensor:
    """Replaces each value by the minimum from there to the end of the last axis; int32 [M, 4, T]."""

    def double(shift, values):
        shifted = tf.pad(values[..., shift:], [[0, 0], [0, 0], [0, shift]], constant_values=tf.int32.max)
        return 2 * shift, tf.minimum(values, shifted)

    return tf.while_loop(lambda shift, _: shift < tf.shape(table)[-1], double, (1, table))[1]


def _basins(blocks: _Blocks) -> _Basins:
    """Groups blocks into basins and ties these into a forest."""
    count = tf.size(blocks.peak)
    numbers = tf.range(count)
    a, b, c, d = blocks.corners
    passes = [  # The steps to half of the eight neighbours, and the highest level at which both blocks touch.
        (step, tf.minimum(here[:-step], there[step:]))
        for step, here, there in (
            (1, blocks.right, blocks.left),
            (blocks.columns, blocks.bottom, blocks.top),
            (blocks.columns + 1, d, a),
            (blocks.columns - 1, c, b),
        )
    ]
    # The larger key is the higher block, then the earlier one: ties never run in a circle.
    key = tf.bitwise.left_shift(blocks.peak, _BLOCK_BITS) + (_MAX_BLOCKS - 1 - numbers)
    best = key
    for step, level in passes:
        ahead = tf.where(level >= blocks.peak[:-step], key[step:], 0)
        behind = tf.where(level >= blocks.peak[step:], key[:-step], 0)
        best = tf.maximum(best, tf.maximum(tf.pad(ahead, [[0, step]]), tf.pad(behind, [[step, 0]])))
    top = _follow(_MAX_BLOCKS - 1 - tf.bitwise.bitwise_and(best, _MAX_BLOCKS - 1))

    is_root = tf.logical_and(tf.equal(top, numbers), blocks.peak > 0)
    root = tf.concat([[0], tf.cast(tf.where(is_root)[:, 0], tf.int32)], 0)
    basin_of_root = tf.scatter_nd(root[1:, tf.newaxis], tf.range(1, tf.size(root)), tf.shape(top))
    of_block = tf.gather(basin_of_root, top)

    edges = []
    for step, level in passes:
        apart = tf.logical_and(tf.not_equal(of_block[:-step], of_block[step:]), level > 0)
        place = tf.cast(tf.where(apart)[:, 0], tf.int32)
        edges.append([tf.gather(of_block, place), tf.gather(of_block, place + step), tf.gather(level, place)])
    parent, level = _forest(*[tf.concat(part, 0) for part in zip(*edges)], tf.size(root))
    return _Basins(of_block, root, parent, level)


def _forest(one: tf.Tensor, other: tf.Tensor, level: tf.Tensor, count: tf.Tensor):
    """Ties basins by their highest passes (a maximum spanning forest; Boruvka's algorithm).

    Whenever a tree is tied at a level, the pass starts from a basin that is connected to the tree's root at that
    level: a higher pass would have been taken first. So the roots can stand for their trees.

    Args:
      one, other: int32 [E], the basins on both sides of each pass.
      level: int32 [E], the highest level at which it connects them, at least 1.
      count: scalar int32, the number M of basins.

    Returns:
      parent, level: int32 [M], as in `_Basins`.
    """
    itself = tf.range(count)

    def tie(one, other, level, parent, tied_at):
        edges = tf.size(one, out_type=tf.int64)
        key = tf.cast(level, tf.int64) * edges + tf.range(edges)  # All different: only a mutual tie can be a circle.
        best = tf.math.unsorted_segment_max(tf.concat([key, key], 0), tf.concat([one, other], 0), count)
        edge = tf.maximum(best, 0) % edges
        target = tf.where(best >= 0, tf.gather(one, edge) + tf.gather(other, edge) - itself, itself)
        mutual = tf.logical_and(tf.equal(tf.gather(target, target), itself), itself < target)
        target = tf.where(mutual, itself, target)
        tied = tf.not_equal(target, itself)
        parent = tf.where(tied, target, parent)
        tied_at = tf.where(tied, tf.gather(level, edge), tied_at)
        root = _follow(target)
        one, other = tf.gather(root, one), tf.gather(root, other)
        left = tf.where(tf.not_equal(one, other))[:, 0]
        return tf.gather(one, left), tf.gather(other, left), tf.gather(level, left), parent, tied_at

    *_, parent, tied_at = tf.while_loop(
        lambda one, *_: tf.size(one) > 0,
        tie,
        (one, other, level, itself, tf.zeros_like(itself)),
        shape_invariants=(tf.TensorShape([None]),) * 5,
    )
    return parent, tied_at


def _follow(pointers: tf.Tensor) -> tf.Tensor:
    """Returns for each of int32 [n] the end of the path that starts there; an end points to itself."""

    def double(pointers, _):
        further = tf.gather(pointers, pointers)
        furthest = tf.gather(further, further)
        return furthest, tf.reduce_any(tf.not_equal(furthest, further))

    return tf.while_loop(lambda _, moving: moving, double, (pointers, True))[0]
