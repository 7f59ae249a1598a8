import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.maps import basins
from tests.maps.components_test import flood_fill, spiral

LEVELS = tf.TensorSpec([None, None, None], tf.int32)


@pytest.fixture(scope="module")
def join():
    @tf.function(input_signature=[LEVELS])
    def join_maps(levels):
        blocks = basins.split_into_blocks(levels)
        joined = basins.join_blocks(blocks)
        return {"columns": blocks.shape[1], "peak": blocks.peak, **joined._asdict()}

    return lambda levels: {name: value.numpy() for name, value in join_maps(levels).items()}


@pytest.mark.parametrize("length", [1, 2, 3, 8, 1000])
def test_follow_pointers_returns_the_end_of_every_path(length):
    rng = np.random.default_rng(length)
    order = rng.permutation(2 * length)
    chain = order[:length]
    pointers = np.arange(2 * length, dtype=np.int32)
    pointers[chain[1:]] = chain[:-1]
    expected = np.arange(2 * length)
    expected[chain] = chain[0]
    np.testing.assert_array_equal(basins.follow_pointers(tf.constant(pointers)), expected)


def test_blocks_contain_every_pixel_once_and_the_additional_ones_are_empty():
    levels = np.arange(1, 16, dtype=np.int32).reshape(1, 3, 5)
    blocks = basins.split_into_blocks(tf.constant(levels))
    a, b, c, d = (corner.numpy().reshape(3, 4) for corner in blocks.corners)
    np.testing.assert_array_equal(a, [[1, 3, 5, 0], [11, 13, 15, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(b, [[2, 4, 0, 0], [12, 14, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(c, [[6, 8, 10, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(d, [[7, 9, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(blocks.row.numpy().reshape(3, 4)[:, 0], [0, 2, 4])
    np.testing.assert_array_equal(blocks.column.numpy().reshape(3, 4)[0], [0, 2, 4, 6])


def test_a_hill_is_one_basin(join):
    y, x = np.mgrid[:20, :20]
    hill = np.clip(18 - abs(y - 7) - abs(x - 12), 0, None).astype(np.int32)
    found = join(hill[np.newaxis])
    assert len(found["root"]) == 2  # the empty basin and the hill
    assert set(found["of_block"][found["peak"] > 0]) == {1}


def test_basins_are_connected_at_the_level_of_their_pass(join):
    levels = np.zeros([1, 2, 12], np.int32)
    levels[0, 0] = [0, 9, 9, 4, 4, 7, 7, 2, 2, 8, 8, 0]  # peaks 9, 7 and 8; passes at 4 and 2
    found = join(levels)
    assert sorted(found["level"].tolist()) == [0, 0, 2, 4]
    peaks = found["peak"][found["root"]]
    connections = {(peaks[i], peaks[j], k) for i, (j, k) in enumerate(zip(found["parent"], found["level"])) if k}
    assert {(frozenset([a, b]), k) for a, b, k in connections} in (
        {(frozenset([9, 7]), 4), (frozenset([7, 8]), 2)},
        {(frozenset([9, 7]), 4), (frozenset([9, 8]), 2)},
    )


@pytest.mark.parametrize("case", ["random", "plateaus", "spiral"])
def test_each_level_has_as_many_trees_as_components(join, case):
    rng = np.random.default_rng(0)
    if case == "spiral":
        maps = np.stack([spiral(15) * rng.integers(3, 6, (15, 15)), spiral(15) + spiral(15)[::-1]]).astype(np.int32)
    else:
        maps = rng.integers(0, 20 if case == "random" else 4, (30, 9, 12)).astype(np.int32)
    found = join(maps)
    for level in range(1, maps.max() + 1):
        reached = found["peak"][found["root"]] >= level
        reached[0] = False
        trees = np.sum(reached & (found["level"] < level))
        assert trees == sum(len(np.unique(flood_fill(m >= level))) - (m < level).any() for m in maps)
