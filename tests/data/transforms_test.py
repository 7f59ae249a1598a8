"""Resizing against Pillow; views of images with a rectangle drawn into them."""
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf.data import transforms

RESIZE, CROP = 40, 33  # an odd margin: 3 pixels before, 4 behind
SEEDS = np.stack([np.full(4000, 2**33 + 5), np.arange(4000)], axis=1)  # int64 [4000, 2]


def training_views(seeds, *, resize=RESIZE, crop=CROP, horizontal_flip=True):
    """The views of many seeds at once: each field [N]."""

    def draw(seed):
        return transforms.training_view(seed, resize=resize, crop=crop, horizontal_flip=horizontal_flip)

    signature = transforms.View(*[tf.TensorSpec([], tf.float32)] * 4, tf.TensorSpec([], tf.bool))
    views = tf.function(lambda s: tf.map_fn(draw, s, fn_output_signature=signature))(tf.constant(seeds, tf.int64))
    return transforms.View(*(field.numpy() for field in views))


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(97, 61), (61, 97), (23, 31), (300, 20), (40, 40), (1, 1), (1, 200)])
def test_images_are_resized_as_by_pillow(size):
    pixels = random_image(*size)
    expected = np.asarray(Image.fromarray(pixels).resize((40, 40), Image.Resampling.BILINEAR)).astype(int)
    resized = transforms.resize_image(tf.constant(pixels), 40)
    assert resized.dtype == tf.uint8
    assert resized.shape == (40, 40, 3)
    difference = np.abs(resized.numpy() - expected)  # Pillow rounds after each of its two passes
    assert difference.max() <= 1
    assert difference.mean() < 0.2


def test_resizing_a_resized_image_changes_nothing():
    once = transforms.resize_image(tf.constant(random_image(70, 90)), 40)
    any_size = [tf.TensorSpec([None, None, 3], tf.uint8)]
    again = tf.function(lambda image: transforms.resize_image(image, 40), input_signature=any_size)
    np.testing.assert_array_equal(again(once), once)


@pytest.mark.parametrize("size", [(427, 640), (333, 500), (7, 13), (375, 500), (200, 200), (1, 90)])
@pytest.mark.parametrize("resize, crop", [(256, 224), (40, 33), (24, 20), (300, 256)])
def test_a_view_equals_the_crop_of_the_resized_image_to_the_last_bit(size, resize, crop):
    # In float32, resizing only the part gives other pixels if source positions are rounded. For each of the sides 256,
    # 40, 24 and 300, one of the sizes shows that.
    pixels = tf.constant(random_image(*size, seed=size[0]))
    whole = transforms.resize_image(pixels, resize)
    for start in ((0, 0), (resize - crop, resize - crop), (1, resize - crop - 1), (resize - crop, 3)):
        top, left = (tf.constant(place / resize, tf.float32) for place in start)
        side = tf.constant(crop / resize, tf.float32)
        for flip in (False, True):
            view = transforms.View(top, left, side, side, tf.constant(flip))
            part = transforms.apply(pixels, view, resize=resize, crop=crop)
            expected = whole[start[0]:start[0] + crop, start[1]:start[1] + crop]
            np.testing.assert_array_equal(part, expected[:, ::-1] if flip else expected)


@pytest.mark.parametrize("resize, crop, start", [(40, 33, 3), (40, 32, 4), (41, 32, 4), (40, 40, 0), (256, 224, 16)])
def test_evaluation_view_is_the_centre_crop(resize, crop, start):
    pixels = random_image(resize, resize)
    view = transforms.evaluation_view(resize=resize, crop=crop)
    part = transforms.apply(tf.constant(pixels), view, resize=resize, crop=crop)
    assert part.dtype == tf.float32
    np.testing.assert_array_equal(part, pixels[start:start + crop, start:start + crop])


def test_training_images_are_the_crops_of_their_views():
    pixels = random_image(RESIZE, RESIZE)
    flips = set()
    for seed in SEEDS[:12]:
        view = transforms.training_view(tf.constant(seed), resize=RESIZE, crop=CROP, horizontal_flip=True)
        top, left = round(float(view.top) * RESIZE), round(float(view.left) * RESIZE)
        expected = pixels[top:top + CROP, left:left + CROP]
        part = transforms.apply(tf.constant(pixels), view, resize=RESIZE, crop=CROP)
        np.testing.assert_array_equal(part, expected[:, ::-1] if view.flip else expected)
        flips.add(bool(view.flip))
    assert flips == {False, True}


def test_crops_are_uniform_over_all_offsets_and_half_are_flipped():
    views, places = training_views(SEEDS), RESIZE - CROP + 1
    rows, columns = np.rint(views.top * RESIZE).astype(int), np.rint(views.left * RESIZE).astype(int)
    assert np.abs(views.top * RESIZE - rows).max() < 1e-5
    assert {*rows} == {*columns} == set(range(places))
    counts = np.histogram2d(rows, columns, bins=places)[0]  # both at once: the axes are independent
    expected = len(SEEDS) / places**2
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = places**2 - 1
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)
    assert abs(views.flip.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(SEEDS))
    assert abs(np.corrcoef(views.flip, columns)[0, 1]) < 5 / np.sqrt(len(SEEDS))
    np.testing.assert_allclose([views.height, views.width], CROP / RESIZE, rtol=1e-6)


def test_crops_are_centred_without_random_crop():
    centre = transforms.evaluation_view(resize=RESIZE, crop=CROP)
    views = [
        transforms.training_view(seed, resize=RESIZE, crop=CROP, horizontal_flip=True, random_crop=False)
        for seed in tf.unstack(tf.constant([[3, seed] for seed in range(20)]))
    ]
    assert {(float(v.top), float(v.left)) for v in views} == {(float(centre.top), float(centre.left))}
    assert {bool(v.flip) for v in views} == {False, True}


def test_training_view_is_a_function_of_its_seed():
    first, again, other = training_views(SEEDS[:50]), training_views(SEEDS[:50]), training_views(SEEDS[50:100])
    for field in ("top", "left", "flip"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
        assert (getattr(first, field) != getattr(other, field)).any()
    small = transforms.training_view(tf.constant([7, 9], tf.int32), resize=RESIZE, crop=CROP, horizontal_flip=True)
    large = transforms.training_view(tf.constant([7, 9], tf.int64), resize=RESIZE, crop=CROP, horizontal_flip=True)
    assert [float(field) for field in small] == [float(field) for field in large]


def test_without_flips_and_margin_the_view_is_the_image():
    views = training_views(SEEDS[:200], resize=RESIZE, crop=RESIZE, horizontal_flip=False)
    assert not views.flip.any()
    assert not views.top.any()
    assert not views.left.any()


@pytest.mark.parametrize("seed", [None, *range(12)])
def test_boxes_fit_a_rectangle_drawn_into_the_image(seed):
    height, width, resize, crop = 90, 150, 120, 96
    ymin, xmin, ymax, xmax = 31, 44, 66, 97
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[ymin:ymax, xmin:xmax] = 255
    if seed is None:
        view = transforms.evaluation_view(resize=resize, crop=crop)
    else:
        view = transforms.training_view(tf.constant([3, seed]), resize=resize, crop=crop, horizontal_flip=True)
    part = transforms.apply(tf.constant(pixels), view, resize=resize, crop=crop).numpy()[..., 0]
    # A row or column that the rectangle covers in part has a value below 1: the sums measure the size below one pixel.
    rows, columns = part.max(axis=1) / 255, part.max(axis=0) / 255
    start = np.array([np.flatnonzero(rows >= 0.5)[0], np.flatnonzero(columns >= 0.5)[0]])
    size = np.array([rows.sum(), columns.sum()])
    box = np.array([ymin, xmin, ymax, xmax], np.float32) / [height, width, height, width]
    moved = transforms.boxes_into_view(tf.constant(box, tf.float32), view).numpy() * crop
    assert np.abs(moved[:2] - start).max() <= 0.51
    np.testing.assert_allclose(moved[2:] - moved[:2], size, atol=0.05)


def test_boxes_are_converted_as_in_float64():
    boxes = np.random.default_rng(4).uniform(-0.2, 1.2, (2, 3, 4))
    for seed in range(6):
        view = transforms.training_view(tf.constant([3, seed]), resize=RESIZE, crop=CROP, horizontal_flip=True)
        top, left = float(view.top), float(view.left)
        expected = (boxes - [top, left, top, left]) * RESIZE / CROP
        if view.flip:
            expected[..., [1, 3]] = 1 - expected[..., [3, 1]]
        moved = transforms.boxes_into_view(tf.constant(boxes, tf.float32), view)
        np.testing.assert_allclose(moved, expected, atol=1e-6)
        np.testing.assert_allclose(transforms.boxes_out_of_view(moved, view), boxes, atol=1e-6)


@pytest.mark.parametrize("resize, crop", [(10, 11), (10, 0), (0, 0), (-4, -5)])
def test_a_crop_larger_than_the_image_is_an_error(resize, crop):
    for make in (
        lambda: transforms.evaluation_view(resize=resize, crop=crop),
        lambda: transforms.training_view(tf.constant([1, 2]), resize=resize, crop=crop, horizontal_flip=False),
    ):
        with pytest.raises(ValueError, match=f"got crop {crop} and resize {resize}"):
            make()


def test_a_mask_is_mirrored_with_its_image():
    mask = np.random.default_rng(0).integers(0, 2, (30, 41)) > 0
    view = transforms.training_view(tf.constant([0, 1]), resize=24, crop=20, horizontal_flip=True)
    for flip in (False, True):
        found = transforms.apply_to_mask(mask, view._replace(flip=tf.constant(flip)), resize=24, crop=20).numpy()
        top, left = round(float(view.top) * 24), round(float(view.left) * 24)
        rows, columns = (top + np.arange(20)) * 30 // 24, (left + np.arange(20)) * 41 // 24
        expected = mask[rows][:, columns]
        np.testing.assert_array_equal(found, expected[:, ::-1] if flip else expected)
