"""The graph behind `components`: 2x2 blocks of pixels, basins of blocks, and a forest that ties the basins.

Maps enter as levels: the level of a pixel is the number of thresholds below its value, so it is on at the thresholds
1..level. One graph answers for all thresholds, and it shrinks quickly:

1. Blocks. The on pixels of a 2x2 block always touch each other, so a block is one node: a quarter of the pixels.
2. Basins. A block whose highest pixel touches one beside, above or below the block that is at least as high belongs to
   that pixel's block, at every level that it reaches. Following these links uphill ends in one root per basin.
3. Forest. Boruvka's algorithm ties the basins by their highest passes: basin b to `parent[b]`, at the levels up to
   `level[b]`. Each round at least halves the number of trees, so spirals take few rounds as well.

Two basins are connected at threshold k if ties with level >= k lead from one to the other. Paths are followed by
pointer doubling, in as many steps as the logarithm of the longest.
"""
from __future__ import annotations

import typing

import tensorflow as tf

# A key holds a level above a block number in 31 bits.
_BLOCK_BITS = 20
MAX_BLOCKS = 2**_BLOCK_BITS
MAX_THRESHOLDS = 2 ** (31 - _BLOCK_BITS) - 1


class Blocks(typing.NamedTuple):
    """The 2x2 blocks of C level maps in raster order, each map with one spare row and column of empty blocks.

    The spare ones let a shift of the flat arrays stand for a step to a neighbour. N = C * rows * columns.

    Attributes:
      corners: int32 levels [N] of the top left, top right, bottom left and bottom right pixels.
      top, bottom, left, right: int32 [N], the higher level of the two pixels on that side.
      peak: int32 [N], the highest of the four.
      row, column: int32 [N], the place of the top left pixel in its map.
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


def grid(height: tf.Tensor, width: tf.Tensor) -> tuple:
    """Returns how many rows and columns of blocks a map has, the spare ones included."""
    return (height + 1) // 2 + 1, (width + 1) // 2 + 1


def split_into_blocks(levels: tf.Tensor) -> Blocks:
    """Cuts level maps int32 [C, h, w] into blocks."""
    batch, height, width = tf.unstack(tf.shape(levels))
    rows, columns = grid(height, width)
    padded = tf.pad(levels, [[0, 0], [0, 2 * rows - height], [0, 2 * columns - width]])
    corners = tf.transpose(tf.reshape(padded, [batch * rows, 2, columns, 2]), [1, 3, 0, 2])
    a, b, c, d = tf.unstack(tf.reshape(corners, [4, -1]))
    top, bottom, left, right = tf.maximum(a, b), tf.maximum(c, d), tf.maximum(a, c), tf.maximum(b, d)
    places = tf.meshgrid(2 * tf.range(rows), 2 * tf.range(columns), indexing="ij")
    row, column = (tf.tile(tf.reshape(place, [-1]), [batch]) for place in places)
    return Blocks([a, b, c, d], top, bottom, left, right, tf.maximum(top, bottom), row, column, (rows, columns))


def join_blocks(blocks: Blocks) -> Basins:
    """Groups blocks into basins and ties these into a forest."""
    peak, columns = blocks.peak, blocks.shape[1]
    numbers = tf.range(tf.size(peak))
    across = tf.minimum(blocks.right[:-1], blocks.left[1:])  # The highest level at which both blocks touch.
    down = tf.minimum(blocks.bottom[:-columns], blocks.top[columns:])

    # The larger key is the higher block, then the earlier one: links never run in a circle.
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
        place = tf.cast(tf.where(tf.logical_and(apart, level > 0))[:, 0], tf.int32)
        one, other = tf.gather(of_block, place + start), tf.gather(of_block, place + (start + step))
        passes.append([one, other, tf.gather(level, place)])
    parent, level = _forest(*[tf.concat(part, 0) for part in zip(*passes)], tf.size(root))
    return Basins(of_block, root, parent, level)


def follow_pointers(pointers: tf.Tensor) -> tf.Tensor:
    """Returns for each of int32 [n] the end of the path that starts there; an end points to itself."""

    def double(pointers, _):
        further = tf.gather(pointers, pointers)
        furthest = tf.gather(further, further)
        return furthest, tf.reduce_any(tf.not_equal(furthest, further))

    return tf.while_loop(lambda _, moving: moving, double, (pointers, True))[0]


def _diagonals(blocks: Blocks, across: tf.Tensor, down: tf.Tensor):
    """Returns the levels of the passes from blocks i to i + columns + 1, and from blocks i + 1 to i + columns.

    A pass is 0 if the way around either of the other two blocks is as high: most are, and need no attention later.
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


def _forest(one: tf.Tensor, other: tf.Tensor, level: tf.Tensor, count: tf.Tensor):
    """Ties basins by their highest passes: a maximum spanning forest.

    Whenever a tree is tied at a level, the pass starts from a basin that is connected to the tree's root at that
    level, or a higher pass would have been taken before. So roots can stand for their trees.

    Args:
      one: int32 [E], the basin on one side of each pass.
      other: int32 [E], that on the other side.
      level: int32 [E], the highest level at which it connects them, at least 1.
      count: scalar int32, the number M of basins.

    Returns:
      parent, level: int32 [M], as in `Basins`.
    """
    itself = tf.range(count)

    def tie(one, other, level, parent, tied_at):
        edges = tf.size(one, out_type=tf.int64)
        key = tf.cast(level, tf.int64) * edges + tf.range(edges)  # All different: only two can tie in a circle.
        best = tf.maximum(
            tf.math.unsorted_segment_max(key, one, count), tf.math.unsorted_segment_max(key, other, count)
        )
        edge = tf.maximum(best, 0) % edges
        target = tf.where(best >= 0, tf.gather(one, edge) + tf.gather(other, edge) - itself, itself)
        mutual = tf.logical_and(tf.equal(tf.gather(target, target), itself), itself < target)
        target = tf.where(mutual, itself, target)
        tied = tf.not_equal(target, itself)
        parent = tf.where(tied, target, parent)
        tied_at = tf.where(tied, tf.gather(level, edge), tied_at)
        root = follow_pointers(target)
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
