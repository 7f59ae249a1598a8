"""Makes images of toy birds on clutter from a seed: a data set with exact boxes and masks that needs no download.

A bird is a body with a tail and a small head, at any place, angle and scale. The ordered pair of the head's colours
nearly always identifies the class; the body's hue is a weaker cue; stripes and background are no cues. So a classifier
responds to the head, but the bird is five times larger: this is the problem that localization methods have to solve.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import io
import itertools
import json
import operator
import os
import pathlib
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from PIL import Image

from ornet_tf import atomic_write, paths
from ornet_tf.data.source import SPLITS, Source
from ornet_tf.datasets import _toybirds_drawing as drawing
from ornet_tf.errors import UserError

# One for each ordered pair of the palette's colours.
CLASS_NAMES = (
    "Tin Warbler", "Button Wren", "Velvet Finch", "Copper Lark", "Marble Owl", "Paper Plover", "Bobbin Robin",
    "Felt Siskin", "Clockwork Swift", "Quilt Thrush", "Bramble Tit", "Penny Sparrow", "Rattle Rail",
    "Thimble Crake", "Whistle Pipit", "Domino Dunlin", "Puzzle Petrel", "Kite Bunting", "Spindle Martin",
    "Ribbon Roller",
)
SMALLEST_IMAGE = 32
MOST_BIRDS = 8
# The errors of reading a truncated, overwritten or foreign file.
_CACHE_ERRORS = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


def load(
    split: str,
    *,
    seed: int = 0,
    image_size: int = 64,
    num_classes: int = 6,
    train_count: int = 10000,
    validation_count: int = 500,
    test_count: int = 1000,
    head_blank_probability: float = 0.25,
    body_noise_probability: float = 0.25,
    body_hue_deviation: float = 16.0,
    distractor_count: int = 7,
    birds: Sequence[int] = (1, 1),
    cache_dir: str | None = None,
) -> Source:
    """Makes one split.

    An image depends on the seed, the split, its index and the options, but not on the counts: a longer split starts
    with the shorter one. Labels are the indices modulo `num_classes`, so the sizes of classes differ by at most one.

    Args:
      split: "train", "validation" or "test"; the training split has no boxes and no masks.
      seed: at least 0; another seed gives other images of the same classes.
      image_size: side of the square images in pixels, at least 32; all shapes scale with it.
      num_classes: 2 to 20.
      train_count: images in the training split.
      validation_count: images in the validation split.
      test_count: images in the test split.
      head_blank_probability: the probability that a head has one random colour, which is no cue.
      body_noise_probability: the probability that a body has the hue of a random class.
      body_hue_deviation: standard deviation of the hue around the mean of its class, in degrees.
      distractor_count: the number of ellipses behind the bird.
      birds: the lowest and the highest number of birds in an image, 1 to 8; all are of the image's class. Several birds
        are smaller. Half of the later ones stand next to another bird, which they may touch but hardly hide.
      cache_dir: a folder for a cache file of each split and set of options; None or "" for no cache.

    Returns:
      The images as PNG files (bytes), uint8 [image_size, image_size, 3] each; except for 'train', the tight box of the
      visible part of each bird, and a mask of each image.

    Raises:
      OSError: if the cache file can't be written.
      UserError: if the split or the value of an option is not one of the above.
    """
    options = dict(locals())
    count, style = _check_options(options)
    folder = paths.local(cache_dir, "toybirds: cache_dir") if cache_dir else None
    path = None if folder is None else folder / _cache_name(split, seed, count, style)
    arrays = _read_cache(path, count, image_size)
    if arrays is None:
        arrays = _draw_split(split, seed, count, style)
        _write_cache(path, arrays)
    files = np.split(arrays["encoded"], np.cumsum(arrays["sizes"])[:-1])
    boxes, masks = None, None
    if split != "train":
        boxes = np.split(arrays["boxes"].astype(np.float32), np.cumsum(arrays["box_counts"])[:-1])
        inside = np.unpackbits(arrays["masks"], axis=1, count=image_size**2).reshape([count, image_size, image_size])
        masks = [_png(255 * mask) for mask in inside]
    return Source(
        class_names=CLASS_NAMES[:num_classes],
        images=[file.tobytes() for file in files],
        names=[f"{split}/{i:06d}" for i in range(count)],
        labels=_labels(np.arange(count), num_classes),
        boxes=boxes,
        masks=masks,
    )


def _check_options(options: Mapping[str, Any]) -> tuple[int, drawing.Style]:
    """Returns the number of images and their style, or raises the UserError that `load` documents."""
    if options["split"] not in SPLITS:
        raise UserError(f"toybirds: expected split to be one of {', '.join(SPLITS)}, got {options['split']!r}.")
    lowest = dict.fromkeys([f"{s}_count" for s in SPLITS], 1)
    lowest.update(seed=0, image_size=SMALLEST_IMAGE, num_classes=2, distractor_count=0)
    highest = {"num_classes": len(CLASS_NAMES)}
    for name, low in lowest.items():
        _check_number(name, options[name], low, highest.get(name), operator.index, "an integer")
    highest = {"head_blank_probability": 1, "body_noise_probability": 1, "body_hue_deviation": 180}
    for name, high in highest.items():
        _check_number(name, options[name], 0, high, float, "a number")
    birds = options["birds"]
    if not isinstance(birds, Sequence) or isinstance(birds, str) or len(birds) != 2:
        raise UserError(f"toybirds: expected birds to be two integers, the lowest and highest number, got {birds!r}.")
    _check_number("birds[0]", birds[0], 1, MOST_BIRDS, operator.index, "an integer")
    _check_number("birds[1]", birds[1], birds[0], MOST_BIRDS, operator.index, "an integer")
    return options[f"{options['split']}_count"], drawing.Style(*(options[name] for name in drawing.Style._fields))


def _check_number(name: str, value: Any, low: float, high: float | None, convert, kind: str) -> None:
    expected = f"{kind} of at least {low}" if high is None else f"{kind} from {low} to {high}"
    message = f"toybirds: expected {name} to be {expected}, got {value!r}."
    if isinstance(value, (bool, str)):
        raise UserError(message)
    try:
        number = convert(value)
    except TypeError as error:
        raise UserError(message) from error
    if not low <= number <= (float("inf") if high is None else high):
        raise UserError(message)


def _labels(indices: np.ndarray, num_classes: int) -> np.ndarray:
    return (indices % num_classes).astype(np.int32)


def _split_into_blocks(count: int, image_size: int) -> Iterator[np.ndarray]:
    """Yields the indices 0..count-1 in blocks whose planes fit a processor's cache, which doubles the speed."""
    size = max(1, 2**16 // image_size**2)
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


def _draw_split(split: str, seed: int, count: int, style: drawing.Style) -> dict[str, np.ndarray]:
    """Draws a split: the PNG files, their sizes in bytes, the boxes, their counts, and the masks with a bit a pixel.

    Files and boxes of all images are concatenated.
    """
    started = time.perf_counter()

    def draw_block(block):
        images, _, owners = drawing.draw(seed, SPLITS.index(split), block, _labels(block, style.num_classes), style)
        masks = np.packbits((owners > 0).reshape([len(block), -1]), axis=1)
        counts = owners.max((1, 2)).astype(np.int64)
        inside = owners[:, None] == np.arange(1, counts.max() + 1)[:, None, None]
        boxes = _tight_boxes(inside[np.arange(counts.max()) < counts[:, None]])
        return [_png(image) for image in images], boxes, counts, masks

    # NumPy and Pillow compute without Python's global lock.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = list(pool.map(draw_block, _split_into_blocks(count, style.image_size)))
    files, boxes, counts, masks = zip(*blocks)
    files = list(itertools.chain.from_iterable(files))
    seconds = time.perf_counter() - started
    logging.info("toybirds: made %d images for %s in %.1f s (%.0f/s).", count, split, seconds, count / seconds)
    return {
        "encoded": np.frombuffer(b"".join(files), np.uint8),
        "sizes": np.array([len(file) for file in files], np.int64),
        "boxes": np.concatenate(boxes),
        "box_counts": np.concatenate(counts),
        "masks": np.concatenate(masks),
    }


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    # Without the search for matches, which would take most of the time and find none in noise.
    Image.fromarray(image).save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def _tight_boxes(inside: np.ndarray) -> np.ndarray:
    """Returns the half-open boxes (ymin, xmin, ymax, xmax) of masks, bool [B, H, W], none empty: int32 [B, 4]."""
    rows, columns = inside.any(2), inside.any(1)
    low = [rows.argmax(1), columns.argmax(1)]
    high = [side.shape[1] - side[:, ::-1].argmax(1) for side in (rows, columns)]
    return np.stack(low + high, 1).astype(np.int32)


def _cache_name(split: str, seed: int, count: int, style: drawing.Style) -> str:
    """Returns a file name that depends on everything that the content depends on."""
    key = {"version": drawing.VERSION, "seed": int(seed), "count": int(count)}
    key.update((name, np.asarray(value, float).tolist()) for name, value in style._asdict().items())
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return f"toybirds-{split}-{digest}.npz"


def _read_cache(path: pathlib.Path | None, count: int, image_size: int) -> dict[str, np.ndarray] | None:
    """Returns the arrays of `_draw_split`; None if there is no file, or it is damaged."""
    if path is None or not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("encoded", "sizes", "boxes", "box_counts", "masks")}
        shapes = {name: array.shape for name, array in arrays.items()}
        mask_bytes = (image_size**2 + 7) // 8
        expected = {"encoded": (arrays["sizes"].sum(),), "sizes": (count,), "boxes": (arrays["box_counts"].sum(), 4)}
        if shapes != {**expected, "box_counts": (count,), "masks": (count, mask_bytes)}:
            raise ValueError(f"it holds arrays of shapes {shapes} for {count} images")
        return arrays
    except _CACHE_ERRORS as error:
        logging.warning("toybirds: %s can't be read and is made again: %s.", path, error)
        return None


def _write_cache(path: pathlib.Path | None, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the arrays under a temporary name and renames the file, so that no process reads an incomplete one."""
    if path is None:
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with atomic_write.explain_failures(f"toybirds: {path} could not be written", ", with another cache_dir or none"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as file:
                np.savez(file, **arrays)
            atomic_write.replace_file(str(aside), str(path))
        finally:
            with contextlib.suppress(OSError):  # such as a parent that is no folder
                aside.unlink()
