"""Draws the images of toybirds: background, distractors and birds, from random streams for each image.

Lengths are in units of 1/64 of the image's side. The module `_toybirds_shapes` defines canvases and planes.
"""
from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ornet_tf.datasets import _toybirds_poses as poses
from ornet_tf.datasets import _toybirds_shapes as shapes

# Part of the name of every cache file. Raise it when the images or the layout of the file change.
VERSION = 2

BODY, HEAD = 1, 2
DISTRACTOR_DISC_SHARE = 0.35
INNER_RADIUS = 0.58
PALETTE = ((222, 48, 44), (250, 228, 120), (44, 78, 206), (40, 32, 48), (70, 200, 150))

# The quantities that the uniform random numbers of a bird and of a distractor determine, in the order of the numbers.
_BIRD = (
    "angle", "length", "width", "head_radius", "head_turn", "tail", "tail_width", "tail_bend", "scale", "y", "x",
    "body_is_noise", "other_class", "saturation", "value", "stripe_angle", "stripe_period", "stripe_strength",
    "head_is_blank", "blank_hue", "blank_saturation", "blank_value", "head_light", "contrast",
)  # fmt: skip
_DISTRACTOR = (
    "is_disc", "length", "width", "angle", "y", "x", "hue", "saturation", "value", "is_striped", "stripe_strength",
    "stripe_angle", "stripe_period", "disc_colour", "disc_light",
)  # fmt: skip


class Style(NamedTuple):
    """The options of `toybirds.load` that determine what an image shows."""

    image_size: int
    num_classes: int
    head_blank_probability: float
    body_noise_probability: float
    body_hue_deviation: float
    distractor_count: int
    birds: tuple[int, int] = (1, 1)


def palette(num_classes: int) -> np.ndarray:
    """Returns the fewest colours whose ordered pairs distinguish the classes, float32 [P, 3] in 0..255."""
    count = next(p for p in itertools.count(2) if p * (p - 1) >= num_classes)
    return np.array(PALETTE[:count], np.float32)


def head_colours(num_classes: int) -> np.ndarray:
    """Returns the colours of each class's head (outer ring, inner disc) before jitter: float32 [K, 2, 3] in 0..255."""
    colours = palette(num_classes)
    pairs = list(itertools.permutations(range(len(colours)), 2))[:num_classes]
    return colours[np.array(pairs)]


def body_hues(num_classes: int) -> np.ndarray:
    """Returns the mean hue of each class's body in degrees: float64 [K], evenly spaced."""
    return np.arange(num_classes) * (360.0 / num_classes)


def draw(seed: int, stream: int, indices: Sequence[int], labels: np.ndarray, style: Style):
    """Draws images and their masks.

    Args:
      seed: at least 0; an image is a function of (seed, stream, index, label, style) only.
      stream: at least 0, the number of the split.
      indices: the indices of B images in the split.
      labels: int [B].
      style: the options.

    Returns:
      uint8 [B, S, S, 3] images, uint8 [B, S, S] masks (0 background, BODY with tail, HEAD), and uint8 [B, S, S], the
      number of the bird that a pixel belongs to, counted from 1; 0 for the background.
    """
    numbers = [_draw_numbers(seed, stream, index, style.distractor_count) for index in indices]
    bird, hue_error, noise, clutter = (np.stack(part) for part in zip(*numbers))
    bird = _by_name(_BIRD, bird)
    later = [_draw_later_numbers(seed, stream, index, style.birds) for index in indices]
    count, *later = (np.stack(part) for part in zip(*later))
    texture, canvas = shapes.noise(noise, bird["contrast"], style.image_size)
    for i in range(style.distractor_count):
        _draw_distractor(canvas, _by_name(_DISTRACTOR, clutter[:, i]), palette(style.num_classes))
    labels = np.asarray(labels)
    pose = poses.make_pose(bird, poses.size_in_flock(count))
    coverage = _coverage(pose, style.image_size)
    _draw_bird(canvas, bird, hue_error, coverage, labels, style)
    masks = _mask(coverage)
    owners = (masks > 0).astype(np.uint8)
    _draw_later_birds(canvas, masks, owners, pose, count, later, labels, style)
    canvas += texture
    canvas += 0.5
    images = np.clip(canvas, 0.0, 255.0, out=canvas).astype(np.uint8).transpose(0, 1, 3, 2)
    return np.ascontiguousarray(images), masks, owners


def _draw_numbers(seed: int, stream: int, index: int, distractor_count: int):
    """Draws all random numbers of one image; those of distractors last, so that their count changes no other number."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, int(index))))
    bird = rng.random(len(_BIRD))
    hue_error = rng.standard_normal()
    noise = rng.random(shapes.NOISE_NUMBERS, dtype=np.float32)
    return bird, hue_error, noise, rng.random((distractor_count, len(_DISTRACTOR)))


def _draw_later_numbers(seed: int, stream: int, index: int, birds: tuple[int, int]):
    """Draws the number of birds, and the random numbers of all but the first, from a stream of their own."""
    low, high = birds
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, int(index), 1)))
    count = rng.integers(low, high + 1)
    looks = rng.random((high - 1, len(_BIRD) + 1))
    return count, looks, rng.random((high - 1, poses.PLACES, 2)), rng.standard_normal(high - 1)


def _draw_later_birds(canvas, masks, owners, first: poses.Pose, count, numbers, labels, style: Style) -> None:
    """Draws all birds but the first on the canvas, the masks and the owners of pixels, each over the earlier ones."""
    looks, places, hue_errors = numbers
    earlier = [first]
    for i in range(style.birds[1] - 1):
        chosen = np.flatnonzero(count > i + 1)
        bird, size = _by_name(_BIRD, looks[:, i, :-1]), poses.size_in_flock(count)
        pose = poses.choose_place(bird, places[:, i], looks[:, i, -1], size, earlier)
        earlier.append(pose)
        bird = {name: values[chosen] for name, values in bird.items()}
        coverage = _coverage(poses.Pose(*(field[chosen] for field in pose)), style.image_size)
        part = canvas[chosen]
        _draw_bird(part, bird, hue_errors[chosen, i], coverage, labels[chosen], style)
        canvas[chosen] = part
        mask = _mask(coverage)
        masks[chosen] = np.where(mask > 0, mask, masks[chosen])
        owners[chosen] = np.where(mask > 0, np.uint8(i + 2), owners[chosen])


def _by_name(names: Sequence[str], numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the columns of [B, len(names)] by their names, [B] each."""
    return dict(zip(names, numbers.T))


def _coverage(pose: poses.Pose, image_size: int):
    """Returns the coverage of tail, body, head and the head's inner disc, and the body's squared elliptic radius."""
    y, x, pixel = shapes.grid(image_size)
    body, square = shapes.ellipse(*pose[:6], image_size)
    rows, columns = y - pose.centre_y, x - pose.centre_x
    # The tail starts inside the body, so that they are connected for any bend.
    root = 0.7 * pose.length
    span = pose.length + pose.tail - root
    along = shapes.plane(rows * (-pose.sine / span) - root / span, columns * (-pose.cosine / span))
    across = shapes.plane(rows * pose.cosine, columns * -pose.sine)
    across -= pose.tail_bend.astype(np.float32) * along * np.abs(along)
    tail = pose.tail_width.astype(np.float32) * (np.float32(0.5) + np.float32(0.5) * along)
    tail = shapes.soften(tail - np.abs(across), 1 / pixel)
    tail *= shapes.soften(np.minimum(along, 1 - along), span / pixel)
    distance = shapes.plane((rows - pose.head_y) ** 2, (columns - pose.head_x) ** 2)
    head, inner = (
        shapes.soften((radius**2).astype(np.float32) - distance, 0.5 / (radius * pixel))
        for radius in (pose.head_radius, INNER_RADIUS * pose.head_radius)
    )
    return tail, body, head, inner, square


def _mask(coverage) -> np.ndarray:
    tail, body, head = coverage[:3]
    mask = np.maximum(tail, body) >= 0.5
    return np.where(head >= 0.5, np.uint8(HEAD), mask.astype(np.uint8) * np.uint8(BODY))


def _draw_distractor(canvas: np.ndarray, u: Mapping[str, np.ndarray], colours: np.ndarray) -> None:
    """Draws one ellipse, or one disc of a head's colour and size, into each image."""
    size = canvas.shape[1]
    disc = u["is_disc"] < DISTRACTOR_DISC_SHARE
    length = np.where(disc, 4.5 + 2.5 * u["length"], 5 + 9 * u["length"])
    width = np.where(disc, length, length * (0.45 + 0.5 * u["width"]))
    angle = 2 * np.pi * u["angle"]
    geometry = (shapes.SIDE * u["y"], shapes.SIDE * u["x"], np.cos(angle), np.sin(angle), length, width)
    coverage, square = shapes.ellipse(*(v[:, None, None] for v in geometry), size)
    strength = np.where(u["is_striped"] < 0.5, 0.1 + 0.25 * u["stripe_strength"], 0)
    light = shapes.stripes(2 * np.pi * u["stripe_angle"], 4 + 6 * u["stripe_period"], strength, size)
    light *= shapes.roundness(square)
    disc_colour = colours[(u["disc_colour"] * len(colours)).astype(int)] * (0.85 + 0.2 * u["disc_light"])[:, None]
    colour = np.where(disc[:, None], disc_colour, _plumage(360 * u["hue"], u["saturation"], u["value"]))
    shapes.paint(canvas, coverage, colour.astype(np.float32), light)


def _plumage(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Returns colours in the range of both bodies and distractors, float32 [B, 3]."""
    return shapes.rgb(hue, 0.45 + 0.4 * saturation, 0.5 + 0.4 * value)


def _draw_bird(canvas, u: Mapping[str, np.ndarray], hue_error, coverage, labels: np.ndarray, style: Style) -> None:
    """Draws tail, body and head with the cues of the class; in some images a cue is random."""
    tail, body, head, inner, square = coverage
    random_class = (u["other_class"] * style.num_classes).astype(int)
    body_class = np.where(u["body_is_noise"] < style.body_noise_probability, random_class, labels)
    hue = (body_hues(style.num_classes)[body_class] + style.body_hue_deviation * hue_error) % 360
    plumage = _plumage(hue, u["saturation"], u["value"])
    strength = 0.08 + 0.27 * u["stripe_strength"]
    light = shapes.stripes(2 * np.pi * u["stripe_angle"], 4 + 6 * u["stripe_period"], strength, style.image_size)
    shapes.paint(canvas, tail, plumage * np.float32(0.85))
    shapes.paint(canvas, body, plumage, light * shapes.roundness(square))
    colours = head_colours(style.num_classes)[labels]
    blank = shapes.rgb(360 * u["blank_hue"], 0.35 + 0.5 * u["blank_saturation"], 0.4 + 0.55 * u["blank_value"])
    is_blank = u["head_is_blank"] < style.head_blank_probability
    colours = np.where(is_blank[:, None, None], blank[:, None], colours)
    colours = colours * (0.85 + 0.2 * u["head_light"]).astype(np.float32)[:, None, None]
    shapes.paint(canvas, head, colours[:, 0])
    shapes.paint(canvas, inner, colours[:, 1])
