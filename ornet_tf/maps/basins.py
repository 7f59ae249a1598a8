"""The algorithm behind `components`: 2x2 blocks of pixels, basins of blocks, and a spanning forest of the basins.

The input is a map of levels: the level of a pixel is the number of thresholds below its value, so the pixel is on at
the thresholds 1..level. One graph serves all thresholds, and each step makes it smaller:

1. Blocks. The on pixels of a 2x2 block always touch each other, so a block is one node. This leaves a quarter of the
   nodes.
2. Basins. If the highest pixel of a block touches a pixel in the block beside, above or below that is at least as high,
   the block is linked to that block: both are connected at every level that the first one reaches. Following the links
   uphill leads to one root per basin.
3. Forest. Boruvka's algorithm connects the basins by their highest passes: basin b is connected to `parent[b]` at the
   levels up to `level[b]`. Each round at least halves the number of trees, so even spirals need few rounds.

Two basins are connected at threshold k if a path of connections with level >= k joins them. Paths are followed by
pointer doubling, in a number of steps that is logarithmic in the length of the longest path.
"""
from __future__ import annotations

import typing

import tensorflow as tf

# A key of 31 bits: the level in the high bits, the block number in the low ones.
_BLOCK_BITS = 20
MAX_BLOCKS = 2**_BLOCK_BITS
MAX_THRESHOLDS = 2 ** (31 - _BLOCK_BITS) - 1


class Blocks(typing.NamedTuple):
    """The 2x2 blocks of C level maps in raster order, each map with an additional row and column of empty blocks.

    Because of the empty blocks, shifting the flat arrays by 1 or by a row moves to a neighbour and never to another
    map. N = C * rows * columns.

    Attributes:
      corners: four int32 [N], the levels of the top left, top right, bottom left and bottom right pixels.
      top, bottom, left, right: int32 [N], the higher level of the two pixels on that side.
      peak: int32 [N], the highest level of the four pixels.
      row, column: int32 [N], the position of the top left pixel in its map.
      shape: scalar int32 rows and columns of blocks per map.
    """

    corners: list
    top: tf.Tensor
    bottom: tf.Tensor
    left: tf.Tensor
    right: tf.Tensor
    peak: tf.Tensor
    row: tf.Tensor
    column: tf.Tensor
    shape: tuple


class Basins(typing.NamedTuple):
    """M groups of blocks, each around a local maximum, and their connections. Basin 0 is empty.

    Attributes:
      of_block: int32 [N], the basin of each block; arbitrary for blocks that are off at every threshold.
      root: int32 [M], one block of each basin.
      parent: int32 [M], the basin that it is connected to; itself if there is none.
      level: int32 [M], the highest level of that connection; 0 if there is none.
    """

    of_block: tf.Tensor
    root: tf.Tensor
    parent: tf.Tensor
    level: tf.Tensor


def block_grid_shape(height: tf.Tensor, width: tf.Tensor) -> tuple:
    """Returns the rows and columns of blocks of a map, including the empty ones."""
    return (height + 1) // 2 + 1, (width + 1) // 2 + 1


def split_into_blocks(levels: tf.Tensor) -> Blocks:
    """Splits level maps int32 [C, h, w] into blocks."""
    batch, height, width = tf.unstack(tf.shape(levels))
    rows, columns = block_grid_shape(height, width)
    padded = tf.pad(levels, [[0, 0], [0, 2 * rows - height], [0, 2 * columns - width]])
    corners = tf.transpose(tf.reshape(padded, [batch * rows, 2, columns, 2]), [1, 3, 0, 2])
    a, b, c, d = tf.unstack(tf.reshape(corners, [4, -1]))
    top, bottom, left, right = tf.maximum(a, b), tf.maximum(c, d), tf.maximum(a, c), tf.maximum(b, d)
    positions = tf.meshgrid(2 * tf.range(rows), 2 * tf.range(columns), indexing="ij")
    row, column = (tf.tile(tf.reshape(position, [-1]), [batch]) for position in positions)
    return Blocks([a, b, c, d], top, bottom, left, right, tf.maximum(top, bottom), row, column, (rows, columns))


def join_blocks(blocks: Blocks) -> Basins:
    """Groups blocks into basins and connects the basins by a spanning forest."""
    peak, columns = blocks.peak, blocks.shape[1]
    numbers = tf.range(tf.size(peak))
    across = tf.minimum(blocks.right[:-1], blocks.left[1:])  # the highest level at which both blocks touch
    down = tf.minimum(blocks.bottom[:-columns], blocks.top[columns:])

    # A higher block has the larger key, of equal ones the earlier block: links never form a cycle.
    key = tf.bitwise.left_shift(peak, _BLOCK_BITS) + (MAX_BLOCKS - 1 - numbers)
    best = key
    for step, level in ((1, across), (columns, down)):
        ahead = tf.where(level >= peak[:-step], key[step:], 0)
        behind = tf.where(level >= peak[step:], key[:-step], 0)
        best = tf.maximum(best, tf.maximum(tf.pad(ahead, [[0, step]]), tf.pad(behind, [[step, 0]])))
    top = follow_pointers(MAX_BLOCKS - 1 - tf.bitwise.bitwise_and(best, MAX_BLOCKS - 1))

    is_root = tf.logical_and(tf.equal(top, numbers), peak > 0)
    root = tf.concat([[0], tf.cast(tf.where(is_root)[:, 0], tf.int32)], 0)
    basin_of_root = tf.scatter_nd(root[1:, tf.newaxis], tf.range(1, tf.size(root)), tf.shape(top))
    of_block = tf.gather(basin_of_root, top)

    falling, rising = _diagonals(blocks, across, down)
    passes = []
    for start, step, level in ((0, 1, across), (0, columns, down), (0, columns + 1, falling), (1, columns - 1, rising)):
        ends = start + tf.size(level)
        apart = tf.not_equal(of_block[start:ends], of_block[start + step : ends + step])
        index = tf.cast(tf.where(tf.logical_and(apart, level > 0))[:, 0], tf.int32)
        first, second = tf.gather(of_block, index + start), tf.gather(of_block, index + (start + step))
        passes.append([first, second, tf.gather(level, index)])
    parent, level = _spanning_forest(*[tf.concat(part, 0) for part in zip(*passes)], tf.size(root))
    return Basins(of_block, root, parent, level)


def follow_pointers(pointers: tf.Tensor) -> tf.Tensor:
    """Returns the end of the path from each of the pointers, int32 [n]; an end points to itself."""

    def double(pointers, _):
        further = tf.gather(pointers, pointers)
        furthest = tf.gather(further, further)
        return furthest, tf.reduce_any(tf.not_equal(furthest, further))

    return tf.while_loop(lambda _, moving: moving, double, (pointers, True))[0]


def _diagonals(blocks: Blocks, across: tf.Tensor, down: tf.Tensor):
    """Returns the levels of the diagonal passes: from block i to i + columns + 1, and from i + 1 to i + columns.

    A pass gets level 0 if a path through either of the other two blocks is at least as high. Most passes do, and are
    then ignored.
    """
    a, b, c, d = blocks.corners
    columns = blocks.shape[1]
    here, right, below = slice(None, -columns - 1), slice(1, -columns), slice(columns, -1)
    falling = tf.minimum(d[here], a[columns + 1 :])
    rising = tf.minimum(c[right], b[below])
    upper, lower, left, right = across[:-columns], across[columns:], down[:-1], down[1:]
    around_falling = tf.maximum(tf.minimum(upper, right), tf.minimum(left, lower))
    around_rising = tf.maximum(tf.minimum(upper, left), tf.minimum(right, lower))
    return tf.where(falling > around_falling, falling, 0), tf.where(rising > around_rising, rising, 0)


def _spanning_forest(first: tf.Tensor, second: tf.Tensor, level: tf.Tensor, count: tf.Tensor):
    """Connects basins by their highest passes: a maximum spanning forest.

    A pass that connects a tree at some level starts from a basin that is connected to the tree's root at that level:
    otherwise a higher pass would have been used before. The connection can therefore start from the root.

    Args:
      first: int32 [E], the basin on one side of each pass.
      second: int32 [E], the basin on the other side.
      level: int32 [E], the highest level at which the pass connects them, at least 1.
      count: scalar int32, the number M of basins.

    Returns:
      parent, level: int32 [M], as in `Basins`.
    """
    itself = tf.range(count)

    def connect(first, second, level, parent, level_of_parent):
        edges = tf.size(first, out_type=tf.int64)
        key = tf.cast(level, tf.int64) * edges + tf.range(edges)  # unique: only two trees can choose each other
        best = tf.maximum(
            tf.math.unsorted_segment_max(key, first, count), tf.math.unsorted_segment_max(key, second, count)
        )
        edge = tf.maximum(best, 0) % edges
        target = tf.where(best >= 0, tf.gather(first, edge) + tf.gather(second, edge) - itself, itself)
        mutual = tf.logical_and(tf.equal(tf.gather(target, target), itself), itself < target)
        target = tf.where(mutual, itself, target)
        is_connected = tf.not_equal(target, itself)
        parent = tf.where(is_connected, target, parent)
        level_of_parent = tf.where(is_connected, tf.gather(level, edge), level_of_parent)
        root = follow_pointers(target)
        first, second = tf.gather(root, first), tf.gather(root, second)
        remaining = tf.where(tf.not_equal(first, second))[:, 0]
        first, second, level = (tf.gather(values, remaining) for values in (first, second, level))
        return first, second, level, parent, level_of_parent

    *_, parent, level_of_parent = tf.while_loop(
        lambda first, *_: tf.size(first) > 0,
        connect,
        (first, second, level, itself, tf.zeros_like(itself)),
        shape_invariants=(tf.TensorShape([None]),) * 5,
    )
    return parent, level_of_parent
