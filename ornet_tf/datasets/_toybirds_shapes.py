"""Draws antialiased shapes on many canvases at once, for toybirds.

Lengths are in units of 1/64 of the image's side, so a shape is the same at every image size. A canvas is float32
[B, S, 3, S] in 0..255: rows, channels, columns; in this order, noise is enlarged by two matrix products. Angles and
factors of images are float64; planes of pixels are float32.
"""
from __future__ import annotations

import numpy as np

SIDE = 64.0
NOISE_CELLS = (4, 8, 16, 32)
NOISE_CONTRASTS = (36.0, 26.0, 20.0, 22.0)
NOISE_COLOURFULNESS = 0.6
NOISE_NUMBERS = 3 * sum(n * n for n in NOISE_CELLS)


def grid(image_size: int):
    """Returns the coordinates of the pixel centres as rows [S, 1] and columns [S], and the side of a pixel."""
    centres = (np.arange(image_size) + 0.5) * (SIDE / image_size)
    return centres[:, None], centres, SIDE / image_size


def plane(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Adds [B, S, 1] and [B, 1, S] into float32 [B, S, S]."""
    return rows.astype(np.float32) + columns.astype(np.float32)


def soften(values: np.ndarray, slope) -> np.ndarray:
    """Converts an implicit function, positive inside a shape, to coverage 0..1 in place; 0.5 is the outline."""
    values *= np.asarray(slope, np.float32)
    values += 0.5
    return np.clip(values, 0.0, 1.0, out=values)


def ellipse(centre_y, centre_x, cosine, sine, length, width, image_size: int):
    """Returns coverage and squared elliptic radius (1 on the outline) of B ellipses, both float32 [B, S, S]."""
    y, x, pixel = grid(image_size)
    y, x = y - centre_y, x - centre_x
    square = plane(y * (sine / length), x * (cosine / length))
    square *= square
    across = plane(y * (cosine / width), x * (-sine / width))
    across *= across
    square += across
    inside = np.subtract(np.float32(1), square, out=across)
    return soften(inside, 0.5 * np.sqrt(length * width) / pixel), square


def roundness(square: np.ndarray) -> np.ndarray:
    """Returns the brightness factor that shades an ellipse like a ball, from its squared elliptic radius."""
    return 1.08 - 0.2 * np.minimum(square, 1)


def stripes(angle: np.ndarray, period: np.ndarray, strength: np.ndarray, image_size: int) -> np.ndarray:
    """Returns the brightness factor of parallel stripes, float32 [B, S, S]; the arguments are [B]."""
    y, x, _ = grid(image_size)
    angle, frequency = angle[:, None, None], 2 * np.pi / period[:, None, None]
    rows, columns = y * np.sin(angle) * frequency, x * np.cos(angle) * frequency
    # sin(r + c) from the sines and cosines of r and c, instead of a sine for each pixel.
    light = np.sin(rows).astype(np.float32) * np.cos(columns).astype(np.float32)
    light += np.cos(rows).astype(np.float32) * np.sin(columns).astype(np.float32)
    light *= 2.5
    np.clip(light, -1, 1, out=light)
    light *= strength.astype(np.float32)[:, None, None]
    light += 1
    return light


def enlarge(values: np.ndarray, cells: int, size: int) -> np.ndarray:
    """Enlarges [B, n, 3 n] to [B, size, 3 size] bilinearly."""
    place = np.clip((np.arange(size) + 0.5) * (cells / size) - 0.5, 0, cells - 1)
    weights = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(cells))).astype(np.float32)
    tall = np.matmul(weights, values).reshape(len(values), 3 * size, cells)
    return np.matmul(tall, weights.T).reshape(len(values), size, 3 * size)


def noise(numbers: np.ndarray, contrast: np.ndarray, image_size: int):
    """Returns a fine texture and a background of noise at four scales, both float32 [B, S, 3, S].

    Each octave is enlarged bilinearly and added to the next.

    Args:
      numbers: [B, NOISE_NUMBERS], uniform random numbers.
      contrast: [B], uniform random numbers.
      image_size: S.
    """
    count = len(numbers)
    contrast = (0.7 + 0.6 * contrast).astype(np.float32)[:, None, None]
    total, start, cells = None, 0, 0
    for n, strength in zip(NOISE_CELLS, NOISE_CONTRASTS):
        octave = numbers[:, start : start + 3 * n * n].reshape(count, n, 3, n) - np.float32(0.5)
        octave += (octave.mean(2, keepdims=True) - octave) * np.float32(1 - NOISE_COLOURFULNESS)
        # The factor sqrt(12) makes `strength` the standard deviation: that of the uniform distribution is 1 / sqrt(12).
        octave = octave.reshape(count, n, 3 * n) * (contrast * np.float32(strength * 12**0.5))
        start += 3 * n * n
        total = octave if total is None else octave + enlarge(total, cells, n)
        cells = n
    texture = enlarge(octave, cells, image_size).reshape(count, image_size, 3, image_size) * np.float32(0.3)
    canvas = enlarge(total, cells, image_size).reshape(count, image_size, 3, image_size) + np.float32(120)
    return texture, canvas


def rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Converts hue (degrees), saturation and value (0..1), each [B], to RGB, float32 [B, 3] in 0..255."""
    k = (np.array([5.0, 3.0, 1.0]) + hue[:, None] / 60) % 6
    chroma = np.clip(np.minimum(k, 4 - k), 0, 1)
    return (255 * value[:, None] * (1 - saturation[:, None] * chroma)).astype(np.float32)


def paint(canvas: np.ndarray, coverage: np.ndarray, colour: np.ndarray, light: np.ndarray | None = None) -> None:
    """Blends a colour [B, 3], times a brightness factor [B, S, S], into the canvas by its coverage [B, S, S]."""
    colour = colour[:, None, :, None]
    layer = (colour if light is None else colour * light[:, :, None]) - canvas
    layer *= coverage[:, :, None]
    canvas += layer
