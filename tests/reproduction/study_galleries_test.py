import numpy as np
import pytest

from ornet_tf.maps import sheets, visualize
from ornet_tf.reproduction import examples, study_galleries
from ornet_tf.reproduction.outcomes import Outcome, Run
from tests.reproduction import evaluated_folders


@pytest.fixture(scope="module", name="outcomes")
def _outcomes(tiny_run):
    """Both stages of the tiny run, whose galleries have two images; nothing is evaluated."""
    stages = [Outcome(row, (Run(*tiny_run, row, {"trained": {}}),)) for row in ("stage_one", "stage_two")]
    examples.look_at(stages, range(18))  # builds each model once for all tests
    return stages


def contains(sheet, tile):
    height, width = tile.shape[:2]
    places = np.argwhere((sheet == tile[0, 0]).all(axis=-1))
    return any(np.array_equal(sheet[y : y + height, x : x + width], tile) for y, x in places)


@pytest.mark.slow
def test_maps_lie_over_evenly_spread_images_in_a_column_for_each_outcome(outcomes):
    picture, = study_galleries.maps_gallery(outcomes, "Maps", "A note.")
    assert picture.title == "Maps" and picture.notes[0] == study_galleries.EVENLY and picture.notes[-1] == "A note."
    for example in examples.look_at(outcomes, [0, 17]):
        assert example.name in picture.notes[1]
        large = sheets.enlarge(example.image)
        assert contains(picture.pixels, large)
        assert all(contains(picture.pixels, visualize.overlay(large, of_outcome)) for of_outcome in example.maps)


@pytest.mark.slow
def test_boxes_are_drawn_above_the_maps(outcomes):
    of_two_seeds = Outcome("stage_two", outcomes[1].runs * 2)
    with_maps, without = (
        study_galleries.boxes_gallery(of_two_seeds, range(8), "Boxes", "Rule.", maps=maps)[0] for maps in (True, False)
    )
    assert with_maps.notes[-1] == "Maps are those of seed 0."
    assert without.notes[0] == "Rule." and "tight at the threshold 0.5" in without.notes[1]
    assert with_maps.pixels.shape[1] == without.pixels.shape[1]  # six side by side
    assert len(with_maps.pixels) - len(without.pixels) == 2 * (192 + 16)
    example, = examples.look_at([outcomes[1]], [7])
    tile = sheets.with_boxes(sheets.enlarge(example.image), example.boxes[0], example.truth)
    assert contains(without.pixels, tile) and contains(with_maps.pixels, tile)
    assert (without.pixels[60:] == visualize.GROUND_TRUTH).all(axis=-1).any()


@pytest.mark.slow
def test_a_gallery_of_maps_may_have_boxes_and_without_images_there_is_none(outcomes):
    picture, = study_galleries.maps_gallery(outcomes, "Maps and boxes", boxes=True)
    assert "tight at the threshold 0.5" in picture.notes[1]
    example, = examples.look_at(outcomes, [17])
    tile = visualize.overlay(sheets.enlarge(example.image), example.maps[1])
    assert contains(picture.pixels, sheets.with_boxes(tile, example.boxes[1], example.truth))
    run = outcomes[0].runs[0]
    config = run.config.copy_and_resolve_references()
    config.evaluation.gallery_images = 0
    without = [Outcome("a", (run._replace(config=config),))]
    assert study_galleries.maps_gallery(without, "t") == study_galleries.boxes_gallery(without[0], [], "t") == []


def test_of_several_seeds_a_note_names_the_one_of_the_maps(tmp_path):
    one, two = (evaluated_folders.outcome(str(n), tmp_path, [[1, 0]] * n) for n in (1, 2))
    assert study_galleries.of_seed(one) == [] and study_galleries.of_seed(two) == ["Maps are those of seed 0."]


def test_paint_covers_the_pixels_of_a_coarse_mask():
    image = np.random.default_rng(0).integers(0, 200, [6, 8, 3]).astype(np.uint8)
    mask = np.zeros([3, 4], bool)
    mask[1, 3] = True
    expected = image.copy()
    expected[2:4, 6:8] = 255, 0, 7
    np.testing.assert_array_equal(study_galleries.paint(image, mask, (255, 0, 7)), expected)
