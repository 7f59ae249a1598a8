"""The images of toybirds: sizes and places of the birds, and which parts of an image are cues for the class."""
from __future__ import annotations

import colorsys
import io
import itertools

import numpy as np
import pytest
from PIL import Image

from ornet_tf.datasets import _toybirds_drawing as drawing
from ornet_tf.datasets import toybirds
from tests.datasets import toybirds_masks


def _images(source) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in source.images])


def _dilated(mask: np.ndarray, by: int) -> np.ndarray:
    """Dilates bool [N, H, W] with a square of side 2 by + 1."""
    padded = np.pad(mask, ((0, 0), (by, by), (by, by)))
    height, width = mask.shape[1:]
    shifts = itertools.product(range(2 * by + 1), repeat=2)
    return np.any([padded[:, y : y + height, x : x + width] for y, x in shifts], axis=0)


def _hue_histograms(images, inside, bins=18):
    """Histograms of the hues of the pixels inside, weighted with their chroma: float64 [N, bins], each row of sum 1."""
    pixels = images.astype(np.float64)
    x = pixels[..., 0] - (pixels[..., 1] + pixels[..., 2]) / 2
    y = (pixels[..., 1] - pixels[..., 2]) * np.sqrt(0.75)
    hue, chroma = np.arctan2(y, x), np.hypot(x, y)
    rows = [
        np.histogram(h[m], bins, (-np.pi, np.pi), weights=c[m])[0] for h, c, m in zip(hue, chroma, inside)
    ]
    return np.array(rows) / np.sum(rows, axis=1, keepdims=True)


def _linear_accuracy(features, labels, classes):
    """The accuracy of least squares on the last third of the rows, fitted to the first two thirds."""
    features = np.hstack([features, np.ones((len(features), 1))])
    cut = 2 * len(features) // 3
    targets = np.eye(classes)[labels]
    weights = np.linalg.lstsq(features[:cut], targets[:cut], rcond=None)[0]
    return np.mean((features[cut:] @ weights).argmax(1) == labels[cut:])


@pytest.fixture(scope="module")
def sample():
    """1500 test images with default options: source, images, masks."""
    source = toybirds.load("test", test_count=1500)
    return source, _images(source), toybirds_masks.draw(1500)


def test_images_and_masks_do_not_depend_on_their_block():
    style = drawing.Style(64, 6, 0.25, 0.25, 16.0, 7)
    indices = np.array([40, 3, 17])
    images, drawn, owners = drawing.draw(0, 2, indices, indices % 6, style)
    source = toybirds.load("test", test_count=41)
    np.testing.assert_array_equal(images, _images(source)[indices])
    np.testing.assert_array_equal(drawn, toybirds_masks.draw(41)[indices])
    np.testing.assert_array_equal(owners, drawn > 0)  # the only bird has the number 1


def test_masks_cover_the_bird():
    """The same bird on two backgrounds: equal pixels well inside the mask, and nearly none outside."""
    options = {"test_count": 40, "head_blank_probability": 0.0}
    plain = _images(toybirds.load("test", distractor_count=0, **options)).astype(int)
    clutter = _images(toybirds.load("test", distractor_count=60, **options)).astype(int)
    inside = toybirds_masks.draw(40) > 0
    same = np.abs(plain - clutter).max(-1) <= 1
    assert same[~_dilated(~inside, 1)].mean() > 0.999
    assert same[~_dilated(inside, 1)].mean() < 0.1


def test_the_bird_does_not_depend_on_options_of_other_parts():
    looks = {"num_classes": 12, "head_blank_probability": 1, "body_noise_probability": 0, "distractor_count": 2}
    np.testing.assert_array_equal(toybirds_masks.draw(9), toybirds_masks.draw(9, **looks))
    plain, other = (toybirds.load("test", test_count=9, **options) for options in ({}, looks))
    np.testing.assert_array_equal(np.stack(plain.boxes), np.stack(other.boxes))


def test_images_scale_with_the_image_size():
    small, large = (toybirds_masks.draw(60, image_size=size) > 0 for size in (64, 192))
    enlarged = small.repeat(3, axis=1).repeat(3, axis=2)
    iou = (large & enlarged).sum((1, 2)) / (large | enlarged).sum((1, 2))
    assert iou.mean() > 0.9 and iou.min() > 0.8
    coarse, fine = (_images(toybirds.load("test", test_count=12, image_size=size)) for size in (64, 128))
    means = fine.reshape(12, 64, 2, 64, 2, 3).mean((2, 4))
    assert np.abs(means - coarse).mean() < 6


@pytest.mark.slow
def test_sizes_of_birds_heads_and_boxes(sample):
    source, _, masks = sample
    bird, head = (masks > 0).sum((1, 2)), (masks == drawing.HEAD).sum((1, 2))
    boxes = np.concatenate(source.boxes)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 64**2
    assert abs(areas.mean() - 0.27) < 0.01
    assert abs(bird.mean() / 64**2 - 0.135) < 0.01
    assert abs(np.mean(head / bird) - 0.19) < 0.01
    # Neither a box around the head nor one around the whole image is correct.
    assert np.max(head / bird) < 0.4 and np.mean(areas > 0.5) < 0.05


@pytest.mark.slow
def test_birds_have_all_places_and_directions(sample):
    source, _, masks = sample
    boxes = np.concatenate(source.boxes)
    assert boxes.min() == 0 and boxes.max() == 64
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    np.testing.assert_allclose(centres.mean(0), 32, atol=1)
    assert centres.std(0).min() > 8
    ys, xs = np.mgrid[:64, :64]

    def centroid(part):
        return np.stack([(part * axis).sum((1, 2)) / part.sum((1, 2)) for axis in (ys, xs)], 1)

    way = centroid(masks == drawing.HEAD) - centroid(masks == drawing.BODY)
    angles = np.arctan2(way[:, 0], way[:, 1])
    octants = np.histogram(angles, 8, (-np.pi, np.pi))[0]
    assert octants.min() > 0.7 * 1500 / 8 and octants.max() < 1.3 * 1500 / 8


@pytest.mark.parametrize("classes", range(2, 21))
def test_head_colours_distinguish_all_classes(classes):
    colours = drawing.head_colours(classes).astype(np.float64)
    assert colours.shape == (classes, 2, 3)
    pairs = colours.reshape(classes, 6)
    for a, b in itertools.combinations(range(classes), 2):
        assert np.linalg.norm(pairs[a] - pairs[b]) > 100
    assert np.linalg.norm(colours[:, 0] - colours[:, 1], axis=1).min() > 100
    # Only the ordered pair is a cue: if all pairs are used, every colour is as often outside as inside.
    if classes in (2, 6, 12, 20):
        np.testing.assert_array_equal(np.unique(colours[:, 0], axis=0), np.unique(colours[:, 1], axis=0))


def _read_heads(images, masks, classes):
    """Predicts the class from the colours of the head's centre and rim."""
    guesses = []
    ys, xs = np.mgrid[: masks.shape[1], : masks.shape[2]]
    prototypes = drawing.head_colours(classes).reshape(classes, 6) * 0.95
    for image, mask in zip(images, masks):
        head = mask == drawing.HEAD
        distance = np.hypot(ys - ys[head].mean(), xs - xs[head].mean()) / np.sqrt(head.sum() / np.pi)
        rim = image[head & (distance > 0.68) & (distance < 0.88)].mean(0)
        middle = image[head & (distance < 0.4)].mean(0)
        guesses.append(np.linalg.norm(prototypes - np.concatenate([rim, middle]), axis=1).argmin())
    return np.array(guesses)


def _read_bodies(images, masks, classes):
    """Predicts the class from the hue of the body's mean colour."""
    means = [image[mask == drawing.BODY].mean(0) / 255 for image, mask in zip(images, masks)]
    hues = np.array([360 * colorsys.rgb_to_hsv(*mean)[0] for mean in means])
    return np.round(hues * classes / 360).astype(int) % classes


@pytest.mark.slow
def test_the_strength_of_cues_is_that_of_the_options(sample):
    source, images, masks = sample
    heads, bodies = _read_heads(images, masks, 6), _read_bodies(images, masks, 6)
    # In a quarter of the images the head is blank, in a quarter the body is random: 1/6 of these are right by chance.
    assert abs(np.mean(heads == source.labels) - (0.75 + 0.25 / 6)) < 0.04
    in_place = 0.939  # the probability that a normal error of deviation 16 is within 30 degrees
    assert abs(np.mean(bodies == source.labels) - (0.75 * in_place + 0.25 / 6)) < 0.04
    # Both cues fail independently.
    assert abs(np.mean((heads != source.labels) & (bodies != source.labels)) - 0.208 * 0.254) < 0.025


@pytest.mark.parametrize("classes", [6, 12])
def test_cues_without_noise_identify_the_class(classes):
    options = {"test_count": 240, "num_classes": classes}
    clean = {"head_blank_probability": 0, "body_noise_probability": 0, "body_hue_deviation": 0}
    source = toybirds.load("test", **options, **clean)
    images, masks = _images(source), toybirds_masks.draw(240)
    assert np.mean(_read_heads(images, masks, classes) == source.labels) > 0.98
    assert np.mean(_read_bodies(images, masks, classes) == source.labels) > 0.98


def test_cues_of_noise_only_do_not_identify_the_class():
    options = {"test_count": 240, "head_blank_probability": 1, "body_noise_probability": 1}
    source = toybirds.load("test", **options)
    images, masks = _images(source), toybirds_masks.draw(240)
    assert np.mean(_read_heads(images, masks, 6) == source.labels) < 0.3
    assert np.mean(_read_bodies(images, masks, 6) == source.labels) < 0.3


@pytest.mark.slow
def test_the_background_is_no_cue(sample):
    source, images, masks = sample
    outside = ~_dilated(masks > 0, 2)
    accuracy = _linear_accuracy(_hue_histograms(images, outside), source.labels, 6)
    assert accuracy < 1 / 6 + 0.06
    # The same statistic finds the cue of the body.
    assert _linear_accuracy(_hue_histograms(images, masks == drawing.BODY), source.labels, 6) > 0.55


def test_the_background_has_the_colours_of_heads():
    """The background has discs like heads, so that a single colour does not identify a head."""
    source = toybirds.load("test", test_count=60)
    images, outside = _images(source), ~_dilated(toybirds_masks.draw(60) > 0, 2)
    for colour in drawing.palette(6):
        near = np.linalg.norm(images - colour * 0.95, axis=-1) < 40
        assert np.mean((near & outside).sum((1, 2)) > 15) > 0.3


# Means of 16 x 16 pixel fields, all channels, of test images 0 and 1.
FINGERPRINTS = {
    2: [
        [[116, 121, 130, 105], [127, 125, 147, 135], [128, 119, 154, 136], [135, 122, 124, 125]],
        [[111, 95, 139, 128], [132, 100, 131, 136], [110, 148, 141, 95], [122, 124, 114, 108]],
    ],
}


def test_images_change_only_with_the_version():
    images = _images(toybirds.load("test", test_count=2)).reshape(2, 4, 16, 4, 16, 3).mean((2, 4, 5))
    assert drawing.VERSION in FINGERPRINTS, "add the fingerprint of the new version"
    np.testing.assert_allclose(images, FINGERPRINTS[drawing.VERSION], atol=1.0)
