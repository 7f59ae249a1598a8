import itertools

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.maps import refinement


def signature(height, width):
    return [tf.TensorSpec([None, None, None, 1]), tf.TensorSpec([None, height, width, 3])]


def random_batch(count, side, *, map_side=None, seed=0):
    """Returns random maps [count, map_side, map_side, 1] and smooth images with noise [count, side, side, 3]."""
    rng = np.random.default_rng(seed)
    maps = rng.random((count, map_side or side // 2, map_side or side // 2, 1)).astype(np.float32)
    smooth = tf.image.resize(rng.random((count, 4, 4, 3)) * 255, [side, side]).numpy()
    return maps, np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.float32)


def discs(side, centre, *radii):
    """Returns which pixels lie in discs, bool [side, side] each."""
    y, x = np.mgrid[:side, :side] + 0.5
    distance = np.hypot(y - centre[0], x - centre[1])
    return [distance < radius for radius in radii]


def refine_slowly(activation_map, image):
    """Returns the refined map of one image, pixel by pixel; the map must have half the image's sides, rounded up."""
    height, width = activation_map.shape[:2]
    colours = np.array([
        [image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(np.float64).mean(axis=(0, 1)) for x in range(width)]
        for y in range(height)
    ])

    def mirror(index, size):
        return -index - 1 if index < 0 else 2 * size - 1 - index if index >= size else index

    steps = [step for step in itertools.product((-1, 0, 1), repeat=2) if any(step)]
    weights, values = {}, activation_map[..., 0].astype(np.float64)
    for y, x in np.ndindex(height, width):
        places = [(mirror(y + d * v, height), mirror(x + d * u, width)) for d in (1, 2, 4, 8) for v, u in steps]
        neighbours = np.array([colours[place] for place in places])
        relative = np.abs(neighbours - colours[y, x]) / (0.1 * neighbours.std(axis=0) + 2.5e-3)
        weight = np.exp(-relative.mean(axis=1))
        weights[y, x] = places, weight / weight.sum()
    for _ in range(10):
        values = np.array([
            [sum(w * values[place] for place, w in zip(*weights[y, x])) for x in range(width)] for y in range(height)
        ])
    return values[..., np.newaxis]


@pytest.mark.parametrize(("height", "width"), [(24, 24), (19, 30)])
def test_maps_are_those_of_plain_loops(height, width):
    rng = np.random.default_rng(0)
    maps = rng.random((2, (height + 1) // 2, (width + 1) // 2, 1)).astype(np.float32)
    images = (rng.random((2, height, width, 3)) * [[[[20, 100, 255]]]]).astype(np.float32)
    found = refinement.refine(maps, images).numpy()
    expected = [refine_slowly(*pair) for pair in zip(maps, images)]
    assert found.dtype == np.float32 and np.std(expected) > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_coarse_maps_are_enlarged_bilinearly():
    maps, images = random_batch(2, 32, map_side=4)
    enlarged = tf.image.resize(maps, [16, 16])
    np.testing.assert_array_equal(refinement.refine(maps, images), refinement.refine(enlarged, images))


def test_a_map_grows_to_the_edge_of_a_coloured_disc():
    outer, = discs(96, (44, 50), 24)
    inner, wanted = discs(48, (22, 25), 10, 12)
    noise = np.random.default_rng(1).normal(0, 3, (96, 96, 3))
    image = np.where(outer[..., np.newaxis], [180, 60, 40], [70, 120, 160]) + noise
    refined = refinement.refine(inner[np.newaxis, ..., np.newaxis], image[np.newaxis].astype(np.float32))
    found = refined[0, ..., 0].numpy() > 0.5
    assert (found & wanted).sum() / (found | wanted).sum() > 0.97 > 0.75 > (inner & wanted).sum() / wanted.sum()


def test_rounding_errors_in_a_region_of_one_colour_do_not_decide():
    maps, _ = random_batch(1, 32)
    flat = np.full([1, 32, 32, 3], 255, np.float32)
    rounded = flat - np.random.default_rng(2).integers(0, 3, flat.shape).astype(np.float32) * 2**-16
    assert (rounded != flat).any()
    np.testing.assert_allclose(refinement.refine(maps, rounded), refinement.refine(maps, flat), atol=2e-3)


def test_constant_maps_stay_and_values_stay_in_0_to_1():
    _, images = random_batch(2, 32)
    for value in (0.0, 0.3, 1.0):
        np.testing.assert_allclose(refinement.refine(tf.fill([2, 4, 4, 1], value), images), value, atol=1e-6)
    stripes = np.tile([0.0, 1.0], [2, 16, 8])[..., np.newaxis]
    for one in (stripes, np.ones_like(stripes)):
        refined = refinement.refine(one, images).numpy()
        assert refined.min() >= 0 and refined.max() <= 1


def test_a_mirrored_image_has_the_mirrored_map():
    maps, images = random_batch(2, 32, map_side=4)
    expected = refinement.refine(maps, images).numpy()
    for axis in (1, 2):
        mirrored = refinement.refine(np.flip(maps, axis), np.flip(images, axis))
        np.testing.assert_allclose(np.flip(mirrored, axis), expected, atol=1e-5)


def test_maps_do_not_depend_on_the_batch_and_a_batch_may_be_empty():
    maps, images = random_batch(3, 32)
    function = tf.function(refinement.refine, input_signature=signature(32, 32))
    together = function(maps, images)
    for i in range(3):
        np.testing.assert_allclose(function(maps[i : i + 1], images[i : i + 1])[0], together[i], atol=1e-6)
    assert function(maps[:0], images[:0]).shape == (0, 16, 16, 1)


def test_an_exported_function_takes_batches_of_any_size(tmp_path):
    module = tf.Module()
    module.refine = tf.function(refinement.refine, input_signature=signature(35, 32))
    assert module.refine.get_concrete_function().output_shapes.as_list() == [None, 18, 16, 1]
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for count in (1, 3):
        maps, images = random_batch(count, 35, map_side=9)
        images = images[:, :, :32]
        np.testing.assert_allclose(loaded.refine(maps, images), refinement.refine(maps, images), atol=1e-6)


def test_xla_compiles_the_refinement():
    maps, images = random_batch(2, 32, map_side=4)
    compiled = tf.function(refinement.refine, input_signature=signature(32, 32), jit_compile=True)
    np.testing.assert_allclose(compiled(maps, images), refinement.refine(maps, images), atol=1e-5)


def test_nan_stays_in_its_own_map():
    maps, images = random_batch(2, 32)
    maps[1, 5, 5] = np.nan  # an evaluation refuses such maps
    refined = refinement.refine(maps, images).numpy()
    assert np.isnan(refined[1]).any() and np.isfinite(refined[0]).all()


def test_refined_masks_are_those_of_pixels_above_a_half_with_steep_borders():
    maps, images = random_batch(2, 32, map_side=4)
    refined = refinement.refine(np.float32(maps > 0.5), images).numpy()
    found = refinement.refine_mask(maps, images).numpy()
    assert np.isfinite(found).all() and found.min() == 0 and found.max() == 1
    np.testing.assert_array_equal(found > 0.5, refined > 0.5)
    border = (found > 0) & (found < 1)
    np.testing.assert_allclose(found[border] - 0.5, 4 * (refined[border] - 0.5), atol=1e-5)
    compiled = tf.function(refinement.refine_mask, input_signature=signature(32, 32), jit_compile=True)
    np.testing.assert_allclose(compiled(maps, images), found, atol=1e-4)


def test_a_mask_that_would_dissolve_stays_and_so_does_nan():
    _, images = random_batch(3, 32)
    maps = np.zeros((3, 8, 8, 1), np.float32)
    maps[0, 3, 5] = 0.8
    maps[1, 2:7, 1:6] = 0.8
    images[0] = np.random.default_rng(3).uniform(0, 255, (32, 32, 3))
    assert refinement.refine(np.float32(maps > 0.5), images)[0].numpy().max() <= 0.5
    found = refinement.refine_mask(maps, images).numpy()
    np.testing.assert_array_equal(found[0], np.repeat(np.repeat(maps[0] > 0.5, 2, axis=0), 2, axis=1))
    assert found[1].max() == 1 and found[2].max() == 0
    maps[2, 0, 0] = np.nan
    assert np.isnan(refinement.refine_mask(maps, images)[2]).any()


@pytest.mark.parametrize(("shape", "message"), [
    ([1, 14, 32, 3], "at least 15 pixels"),
    ([1, 32, 32, 1], r"shape \[B, H, W, 3\]"),
    ([32, 32, 3], r"shape \[B, H, W, 3\]"),
])
def test_images_that_do_not_fit_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        refinement.refine(tf.zeros([1, 8, 8, 1]), tf.zeros(shape))


def test_unknown_sides_are_refused():
    with pytest.raises(ValueError, match="static H and W"):
        tf.function(refinement.refine, input_signature=signature(None, 32)).get_concrete_function()
