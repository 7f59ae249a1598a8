import numpy as np
import pytest

from ornet_tf.maps import sheets, visualize
from tests.maps.visualize_test import has_colour, random_image


@pytest.mark.parametrize(("size", "factor"), [(64, 3), (100, 2), (224, 1)])
def test_a_panel_has_image_map_and_boxes(size, factor):
    image = random_image(size, size)
    activation_map = np.random.default_rng(1).random((4, 4, 1))
    drawn = sheets.panel(image, activation_map, [0, 0, 0.5, 0.5], [[0.5, 0.5, 1, 1], [0, 0, 0, 0]])
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
    without = sheets.panel(image, activation_map, [0, 0, 0.5, 0.5])
    assert not has_colour(without, visualize.GROUND_TRUTH).any()


def test_a_caption_is_above_the_panel_and_truncated_to_fit():
    image = random_image(200, 200)
    plain = sheets.panel(image, np.zeros([4, 4]), [0, 0, 1, 1])
    for caption in ("bird", "bird " * 200):
        captioned = sheets.panel(image, np.zeros([4, 4]), [0, 0, 1, 1], caption=caption)
        above = captioned.shape[0] - plain.shape[0]
        np.testing.assert_array_equal(captioned[above:], plain)
        ink = np.nonzero((captioned[:above] < 100).all(axis=-1))
        assert len(ink[0]) > 0
        assert ink[0].max() < above - 1
    assert ink[1].max() > 500


def test_a_grid_has_its_panels_in_order():
    first, second = [random_image(200, 300, 1), random_image(210, 200, 2)], [random_image(192, 250, 3)]
    tiles = [first, second, random_image(220, 200, 4)]
    sheet = sheets.grid(tiles, title="Images")

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
    assert sheets.grid(tiles).shape[0] < sheet.shape[0]


def test_a_grid_enlarges_small_images_by_a_whole_factor():
    tile = random_image(64, 50)
    sheet = sheets.grid([tile])
    large = tile.repeat(3, 0).repeat(3, 1)
    np.testing.assert_array_equal(sheet[-16 - 192 : -16, 16 : 16 + 150], large)


def test_a_grid_writes_its_heads_above_the_panels_of_the_first_row():
    tiles = [[np.full([200, 200, 3], 255, np.uint8)] * 2] * 2
    plain, headed = (sheets.grid(tiles, heads=heads) for heads in ((), ("", "one")))
    added = headed.shape[0] - plain.shape[0]
    assert 10 < added < 40 and headed.shape[1] == plain.shape[1]
    y, x = np.nonzero((headed[50:] < 100).all(axis=-1))  # below the legend there is no ink but the head
    assert 16 + 200 + 16 <= x.min() < x.max() < 16 + 200 + 16 + 200 and np.ptp(y) < 20


def test_the_legend_of_a_grid_may_leave_out_boxes():
    sheet = sheets.grid([random_image(200, 200)], boxes=False)
    assert has_colour(sheet, visualize.heatmap([[1.0]])[0, 0]).any()
    assert not has_colour(sheet, visualize.PREDICTED).any()


@pytest.mark.parametrize("nothing", [[], [[]]])
def test_a_grid_without_panels_is_refused(nothing):
    with pytest.raises(ValueError, match="at least one panel"):
        sheets.grid(nothing)
