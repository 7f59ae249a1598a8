"""The places of several birds in one image: they may touch, but hide each other at most a little."""
import numpy as np
import pytest

from ornet_tf.datasets import _toybirds_drawing as drawing
from ornet_tf.datasets import _toybirds_poses as poses
from tests.maps.components_test import flood_fill

NAMES = ("angle", "length", "width", "head_radius", "head_turn", "tail", "tail_width", "tail_bend", "scale", "y", "x")
COUNT = 300


def _random(rng, count=COUNT):
    return {name: rng.random(count) for name in NAMES}


def _masks(pose):
    """Returns which pixels belong to each bird, bool [B, 64, 64]."""
    return drawing._mask(drawing._coverage(pose, 64)) > 0


def test_one_bird_has_its_own_size_and_several_are_smaller():
    sizes = poses.size_in_flock(np.arange(1, 9))
    assert sizes[0] == 1.0 and np.all(np.diff(sizes) < 0) and sizes[-1] > 0.4
    u = _random(np.random.default_rng(0))
    areas = [_masks(poses.make_pose(u, np.full(COUNT, size))).sum((1, 2)).mean() for size in (1.0, 0.5)]
    assert areas[1] / areas[0] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("count", [2, 4])
def test_later_birds_hide_the_earlier_ones_at_most_a_little_and_half_of_them_touch(count):
    rng = np.random.default_rng(count)
    size = poses.size_in_flock(np.full(COUNT, count))
    flock = [poses.make_pose(_random(rng), size)]
    for _ in range(count - 1):
        places, is_neighbour = rng.random((COUNT, poses.PLACES, 2)), rng.random(COUNT)
        flock.append(poses.choose_place(_random(rng), places, is_neighbour, size, flock))
    masks = np.stack([_masks(pose) for pose in flock])  # [count, B, S, S]
    hidden = [
        np.sum(mask & masks[i + 1 :].any(0), axis=(1, 2)) / mask.sum((1, 2)) for i, mask in enumerate(masks[:-1])
    ]
    assert np.mean(hidden) < 0.02 and np.quantile(hidden, 0.99) < 0.15 and np.max(hidden) < 0.4
    components = np.array([len(np.unique(flood_fill(mask))) - 1 for mask in masks.any(0)])
    assert 0.3 < np.mean(components < count) < 0.9


def test_without_a_good_place_the_least_bad_one_is_taken():
    """Two birds that nearly fill the image: the second one can't avoid the first."""
    rng = np.random.default_rng(5)
    first = poses.make_pose(_random(rng), np.full(COUNT, 1.2))
    u, places = _random(rng), rng.random((COUNT, poses.PLACES, 2))
    size = np.full(COUNT, 1.2)
    chosen = _masks(poses.choose_place(u, places, np.ones(COUNT), size, [first]))
    random = _masks(poses.make_pose({**u, "y": places[:, 0, 0], "x": places[:, 0, 1]}, size))
    earlier = _masks(first)
    assert (chosen & earlier).sum() < 0.5 * (random & earlier).sum()
