import tracemalloc

import numpy as np
import pytest
from PIL import Image

from ornet_tf.maps import visualize

RED, GREEN, RIM = (255, 0, 0), (0, 255, 0), (30, 30, 30)


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(60, 200, (height, width, 3)).astype(np.uint8)


def has_colour(pixels, colour):
    return np.all(pixels == colour, axis=-1)


def luminance(colours):
    linear = np.where(colours <= 10, colours / 3294.6, ((colours / 255 + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_the_heatmap_brightens_in_even_steps():
    colours = visualize.heatmap(np.linspace(0, 1, 101)[np.newaxis])
    assert colours.dtype == np.uint8
    assert colours.shape == (1, 101, 3)
    np.testing.assert_array_equal(colours[0, [0, -1]], [[68, 1, 84], [253, 231, 37]])
    lightness = np.cbrt(luminance(colours[0].astype(float)))
    assert np.all(np.diff(lightness) > 0)
    assert np.diff(lightness).max() < 3 * np.diff(lightness).min()  # even steps to the eye


def test_the_heatmap_clips_values_and_allows_a_channel_axis():
    colours = visualize.heatmap(np.array([[[-3.0], [0.0]], [[np.nan], [7.0]]]))
    np.testing.assert_array_equal(colours[..., 0], [[68, 68], [68, 253]])


def test_the_overlay_blends_image_and_map():
    image = random_image(20, 30)
    activation_map = np.full([5, 6, 1], 0.4)  # 102 of 255
    np.testing.assert_array_equal(visualize.overlay(image, activation_map, alpha=0), image)
    colour = visualize.heatmap([[0.4]])[0, 0].astype(float)
    assert has_colour(visualize.overlay(image, activation_map, alpha=1), colour).all()
    blended = visualize.overlay(image, activation_map, alpha=0.25)
    np.testing.assert_allclose(blended, 0.75 * image + 0.25 * colour, atol=0.5 + 1e-9)


def test_the_overlay_has_the_map_in_the_right_place():
    activation_map = np.zeros([4, 8])
    activation_map[3, 1] = 1.0
    brightness = visualize.overlay(np.zeros([40, 80, 3], np.uint8), activation_map, alpha=1.0)[..., 1]
    np.testing.assert_array_equal(np.unravel_index(np.argmax(brightness[:, ::-1]), (40, 80))[0] // 10, 3)
    y, x = np.nonzero(brightness > 200)
    assert (y.min() >= 30, x.min() // 10, x.max() // 10) == (True, 1, 1)


def test_the_overlay_draws_the_map_on_its_extent():
    image = random_image(40, 80)
    drawn = visualize.overlay(image, np.ones([3, 3]), alpha=1.0, extent=(0.25, 0.5, 0.75, 0.625))
    inside = np.zeros([40, 80], bool)
    inside[10:30, 40:50] = True
    low, high = visualize.heatmap([[0.0, 1.0]])[0]
    np.testing.assert_array_equal(drawn, np.where(inside[..., np.newaxis], high, low))
    for extent in ((0.4, 0.4, 0.6, 0.6), (0.9, 0.9, 1.0, 1.0)):  # less than a pixel of this image
        assert visualize.overlay(random_image(1, 2), np.ones([3, 3]), extent=extent).shape == (1, 2, 3)


def test_the_overlay_of_a_large_image_needs_little_memory():
    image = np.zeros([2000, 3000, 3], np.uint8)
    tracemalloc.start()
    visualize.overlay(image, np.ones([7, 7]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * image.nbytes


def test_outline_draws_like_draw_boxes_but_in_place():
    image, boxes = random_image(20, 40), [[0.25, 0.1, 0.75, 0.5], [0, 0, 0.2, 0.9]]
    canvas = Image.fromarray(image)
    visualize.outline(canvas, boxes, colour=GREEN, width=3)
    np.testing.assert_array_equal(canvas, visualize.draw_boxes(image, boxes, colour=GREEN, width=3))


def test_boxes_are_drawn_inside_their_edges_on_a_copy():
    image = random_image(20, 40)
    before = image.copy()
    drawn = visualize.draw_boxes(image, [0.25, 0.1, 0.75, 0.5], colour=RED, width=2)  # rows 5..14, columns 4..19
    np.testing.assert_array_equal(image, before)
    expected = np.zeros([20, 40], bool)
    expected[5:15, 4:20] = True
    expected[7:13, 6:18] = False
    np.testing.assert_array_equal(has_colour(drawn, RED), expected)
    rim = np.zeros([20, 40], bool)
    rim[7:13, 6:18] = True
    rim[8:12, 7:17] = False
    np.testing.assert_array_equal(has_colour(drawn, RIM), rim)
    np.testing.assert_array_equal(drawn[~(expected | rim)], image[~(expected | rim)])


def test_padding_is_not_drawn_and_thin_boxes_have_a_pixel():
    image = random_image(10, 10)
    np.testing.assert_array_equal(visualize.draw_boxes(image, np.zeros([3, 4])), image)
    np.testing.assert_array_equal(visualize.draw_boxes(image, np.zeros([0, 4])), image)
    drawn = visualize.draw_boxes(image, [[0.999, 0, 1, 0.001], [0, 0, 0, 0]], colour=RED)
    assert np.argwhere(has_colour(drawn, RED)).tolist() == [[9, 0]]


def test_boxes_beyond_the_image_are_clipped():
    drawn = visualize.draw_boxes(random_image(12, 12), [-1, -1, 2, 2], colour=RED, width=1)
    border = np.ones([12, 12], bool)
    border[1:-1, 1:-1] = False
    np.testing.assert_array_equal(has_colour(drawn, RED), border)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: visualize.heatmap(np.zeros([2, 3, 4])), ValueError, r"\[h, w\] or \[h, w, 1\], got \[2, 3, 4\]"),
        (lambda: visualize.overlay(np.zeros([4, 4, 3]), np.zeros([2, 2])), TypeError, "uint8"),
        (lambda: visualize.overlay(random_image(4, 4), np.zeros([2, 2]), alpha=1.5), ValueError, "alpha"),
        (lambda: visualize.draw_boxes(random_image(4, 4)[..., :1], [0, 0, 1, 1]), ValueError, r"\[H, W, 3\]"),
        (lambda: visualize.draw_boxes(random_image(4, 4), [0, 0, 1]), ValueError, r"\[M, 4\] or \[4\], got \[3\]"),
    ],
)
def test_wrong_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
