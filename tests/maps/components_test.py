import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.maps import components

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 4), (8, 5), (13, 16)]
DENSITIES = [0.1, 0.3, 0.45, 0.6, 0.9]


@pytest.fixture(scope="module")
def label():
    return tf.function(components.label_components, input_signature=[tf.TensorSpec([None, None, None], tf.bool)])


def flood_fill(image):
    """Labels the components of one image [h, w]: 1 + the raster index of the first pixel of each."""
    height, width = image.shape
    labels = np.zeros([height, width], np.int32)
    for y, x in np.argwhere(image):
        if labels[y, x]:
            continue
        labels[y, x] = label = 1 + y * width + x
        stack = [(y, x)]
        while stack:
            cy, cx = stack.pop()
            for ny in range(max(cy - 1, 0), min(cy + 2, height)):
                for nx in range(max(cx - 1, 0), min(cx + 2, width)):
                    if image[ny, nx] and not labels[ny, nx]:
                        labels[ny, nx] = label
                        stack.append((ny, nx))
    return labels


def spiral(size):
    """Returns a path of width 1 that winds to the centre, with a gap of 1 between its turns."""
    image = np.zeros([size, size], bool)
    y, x, dy, dx = 0, 0, 0, 1
    image[0, 0] = True
    while True:
        for _ in range(2):
            ahead = (y + dy, x + dx)
            beyond = (y + 2 * dy, x + 2 * dx)
            inside = all(0 <= v < size for v in ahead)
            if inside and not (all(0 <= v < size for v in beyond) and image[beyond]):
                break
            dy, dx = dx, -dy
        else:
            return image
        y, x = ahead
        if image[y, x]:
            return image
        image[y, x] = True


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_of_random_images_are_those_of_a_flood_fill(label, shape):
    rng = np.random.default_rng(sum(shape))
    images = np.concatenate([rng.random((50, *shape)) < density for density in DENSITIES])
    np.testing.assert_array_equal(label(images).numpy(), np.stack([flood_fill(image) for image in images]))


def test_labels_of_difficult_shapes_are_those_of_a_flood_fill(label):
    size = 33
    y, x = np.mgrid[:size, :size]
    winding = spiral(size)
    images = np.stack(
        [
            winding,
            ~winding,
            np.rot90(winding),
            winding[::-1],
            (y + x) % 2 == 0,  # a checkerboard: one component, connected by corners only
            (y % 2 == 0) & (x % 2 == 0),  # single pixels
            (y % 3 == 0) & (x % 3 == 0),
            (y % 2 == 0) | (x == (y // 2) % 2 * (size - 1)),  # a meander
            (x % 2 == 0) | (y == size - 1),  # a comb, joined in the last row
            (x % 2 == 0) | (y == 0),
            abs(y - x) < 1,
            (y + x) % 4 == 0,  # parallel diagonals
            np.maximum(abs(y - 16), abs(x - 16)) % 2 == 0,  # rings in rings
            np.zeros([size, size], bool),
            np.ones([size, size], bool),
            (y == size - 1) & (x == size - 1),
        ]
    )
    assert winding.sum() > 500
    expected = np.stack([flood_fill(image) for image in images])
    assert len(np.unique(expected[0])) == 2
    np.testing.assert_array_equal(label(images).numpy(), expected)


def test_a_long_spiral_is_one_component(label):
    winding = spiral(301)
    np.testing.assert_array_equal(label(winding[np.newaxis]).numpy()[0], winding.astype(np.int32))


@pytest.mark.parametrize("blocks", [1, 40, 150])
def test_chunks_do_not_change_labels(monkeypatch, blocks):
    images = np.random.default_rng(0).random((11, 7, 9)) < 0.5
    expected = components.label_components(images).numpy()
    monkeypatch.setattr(components, "_CHUNK_BLOCKS", blocks)
    np.testing.assert_array_equal(tf.function(components.label_components)(images).numpy(), expected)


def test_an_empty_batch_has_no_labels(label):
    assert label(np.zeros([0, 4, 5], bool)).shape == (0, 4, 5)


def test_images_of_a_batch_are_not_connected(label):
    images = np.zeros([3, 2, 3], bool)
    images[0, 1, 2] = images[1, 0, 0] = images[1, 1, 2] = images[2, 0, 2] = True
    np.testing.assert_array_equal(
        label(images).numpy(), [[[0, 0, 0], [0, 0, 6]], [[1, 0, 0], [0, 0, 6]], [[0, 0, 3], [0, 0, 0]]]
    )


def test_wrong_input_is_refused():
    with pytest.raises(TypeError, match="bool tensor, got float32"):
        components.label_components(tf.zeros([1, 2, 2]))
    with pytest.raises(ValueError, match=r"\[N, h, w\]"):
        components.label_components(tf.zeros([2, 2], tf.bool))


def test_too_many_thresholds_are_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="2047 thresholds"):
        components.largest_extents(tf.zeros([1, 2, 2], tf.int32), tf.constant(2048))


def test_extents_at_two_levels():
    levels = tf.constant([[[2, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 0]]])
    expected = [[[0, 2, 2, 2], [0, 0, 0, 0]]]
    np.testing.assert_array_equal(components.largest_extents(levels, tf.constant(2)).numpy(), expected)


def largest_extents(image, count):
    """Returns the extents of the largest components of one image; equally large ones are ordered by first pixel."""
    labels = flood_fill(image)
    values, areas = np.unique(labels[labels > 0], return_counts=True)
    extents = np.full([count, 4], -1)
    for place, i in enumerate(sorted(range(len(values)), key=lambda i: (-areas[i], values[i]))[:count]):
        y, x = np.nonzero(labels == values[i])
        extents[place] = y.min(), x.min(), y.max(), x.max()
    return extents


@pytest.mark.parametrize("shape", SHAPES)
def test_ranked_extents_are_those_of_a_flood_fill_at_all_thresholds(shape):
    rng = np.random.default_rng(sum(shape) + 1)
    levels = rng.integers(0, 4, (120, *shape)).astype(np.int32)
    levels[60:] *= rng.random((60, *shape)) < 0.4  # sparse: many small components of equal area
    levels[:2] = 0
    count = 5
    found = components.ranked_extents(levels, tf.constant(3), max_components=count).numpy()
    assert found.shape == (120, 3, count, 4)
    np.testing.assert_array_equal(components.largest_extents(levels, tf.constant(3)), found[:, :, 0])
    has_component = found[..., 2] >= found[..., 0]
    found[~has_component] = -1
    expected = np.array([[largest_extents(image > threshold, count) for threshold in range(3)] for image in levels])
    np.testing.assert_array_equal(found, expected)
    assert not has_component[:2].any()


@pytest.mark.parametrize("blocks", [1, 40])
def test_chunks_do_not_change_ranks(monkeypatch, blocks):
    levels = np.random.default_rng(6).integers(0, 3, (11, 7, 9)).astype(np.int32)
    expected = components.ranked_extents(levels, tf.constant(2), max_components=3).numpy()
    monkeypatch.setattr(components, "_CHUNK_BLOCKS", blocks)
    ranked_in_graph = tf.function(components.ranked_extents)
    np.testing.assert_array_equal(ranked_in_graph(levels, tf.constant(2), max_components=3).numpy(), expected)
    assert components.ranked_extents(levels[:0], tf.constant(2), max_components=3).shape == (0, 2, 3, 4)
