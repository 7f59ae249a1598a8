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


@pytest.mark.parametrize(("size", "factor"), [(64, 3), (100, 2), (224, 1)])
def test_a_panel_has_image_map_and_boxes(size, factor):
    image = random_image(size, size)
    activation_map = np.random.default_rng(1).random((4, 4, 1))
    drawn = visualize.panel(image, activation_map, [0, 0, 0.5, 0.5], [[0.5, 0.5, 1, 1], [0, 0, 0, 0]])
    side = size * factor
    assert drawn.shape == (side, 3 * side + 16, 3)
    first, second, third = (drawn[:, start : start + side] for start in (0, side + 8, 2 * (side + 8)))
    np.testing.assert_array_equal(first[::factor, ::factor], image)
    np.testing.assert_array_equal(first, image.repeat(factor, 0).repeat(factor, 1))
    centre = side // 8
    np.testing.assert_array_equal(second[centre :: side // 4, centre :: side // 4], visualize.heatmap(activation_map))
    y, x = np.nonzero(has_colour(third, visualize.PREDICTED))
    assert (y.min(), x.min(), y.max() + 1, x.max() + 1) == (0, 0, side // 2, side // 2)
    y, x = np.nonzero(has_colour(third, visualize.GROUND_TRUTH))
    assert (y.min(), x.min(), y.max() + 1, x.max() + 1) == (side // 2, side // 2, side, side)
    without = visualize.panel(image, activation_map, [0, 0, 0.5, 0.5])
    assert not has_colour(without, visualize.GROUND_TRUTH).any()


def test_a_caption_is_above_the_panel_and_truncated_to_fit():
    image = random_image(200, 200)
    plain = visualize.panel(image, np.zeros([4, 4]), [0, 0, 1, 1])
    for caption in ("bird", "bird " * 200):
        captioned = visualize.panel(image, np.zeros([4, 4]), [0, 0, 1, 1], caption=caption)
        above = captioned.shape[0] - plain.shape[0]
        np.testing.assert_array_equal(captioned[above:], plain)
        ink = np.nonzero((captioned[:above] < 100).all(axis=-1))
        assert len(ink[0]) > 0
        assert ink[0].max() < above - 1
    assert ink[1].max() > 500


def test_a_grid_has_its_panels_in_order():
    first, second = [random_image(200, 300, 1), random_image(210, 200, 2)], [random_image(192, 250, 3)]
    tiles = [first, second, random_image(220, 200, 4)]
    sheet = visualize.grid(tiles, title="Images")

    def position(tile):
        height, width = tile.shape[:2]
        hits = np.argwhere(has_colour(sheet, tile[0, 0]))
        found = [(y, x) for y, x in hits if np.array_equal(sheet[y : y + height, x : x + width], tile)]
        assert len(found) == 1
        return found[0]

    first, second, third, fourth = (position(tile) for tile in (*tiles[0], tiles[1][0], tiles[2]))
    assert first[0] == second[0]
    assert first[1] + 300 < second[1]
    assert first[1] == third[1] == fourth[1]
    assert second[0] + 210 < third[0]
    assert third[0] + 192 < fourth[0]
    legend = sheet[: first[0]]
    for colour in (visualize.PREDICTED, visualize.GROUND_TRUTH, visualize.heatmap([[1.0]])[0, 0]):
        assert has_colour(legend, colour).any()
    assert visualize.grid(tiles).shape[0] < sheet.shape[0]


def test_a_grid_enlarges_small_images_by_a_whole_factor():
    tile = random_image(64, 50)
    sheet = visualize.grid([tile])
    large = tile.repeat(3, 0).repeat(3, 1)
    np.testing.assert_array_equal(sheet[-16 - 192 : -16, 16 : 16 + 150], large)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: visualize.heatmap(np.zeros([2, 3, 4])), ValueError, r"\[h, w\] or \[h, w, 1\], got \[2, 3, 4\]"),
        (lambda: visualize.overlay(np.zeros([4, 4, 3]), np.zeros([2, 2])), TypeError, "uint8"),
        (lambda: visualize.overlay(random_image(4, 4), np.zeros([2, 2]), alpha=1.5), ValueError, "alpha"),
        (lambda: visualize.draw_boxes(random_image(4, 4)[..., :1], [0, 0, 1, 1]), ValueError, r"\[H, W, 3\]"),
        (lambda: visualize.draw_boxes(random_image(4, 4), [0, 0, 1]), ValueError, r"\[M, 4\] or \[4\], got \[3\]"),
        (lambda: visualize.grid([]), ValueError, "at least one panel"),
        (lambda: visualize.grid([[]]), ValueError, "at least one panel"),
    ],
)
def test_wrong_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
