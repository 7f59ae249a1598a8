"""Galleries of studies: images of the evaluated split with maps and boxes, chosen by a rule and never by hand."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ornet_tf.maps import sheets, visualize
from ornet_tf.reproduction import examples
from ornet_tf.reproduction.contents import Picture
from ornet_tf.reproduction.examples import Example
from ornet_tf.reproduction.outcomes import Outcome

EVENLY = "The images are spread evenly over the evaluated split."
_MAPS = "Maps are those before refinement along edges, boxes those after it, where the experiment refines maps."
_COLUMNS = 6  # images side by side in `boxes_gallery`


def count(outcome: Outcome) -> int:
    """Returns the configured number of images of a gallery."""
    return outcome.runs[0].config.evaluation.gallery_images


def maps_gallery(outcomes: Sequence[Outcome], title: str, *notes: str, boxes: bool = False) -> list[Picture]:
    """Draws evenly spread images, a line for each, with the map of each outcome laid over the image.

    Args:
      outcomes: one for each column after that of the images.
      title: of the picture.
      *notes: further sentences below it.
      boxes: whether to draw each outcome's box and the ground truth as well.

    Returns:
      The picture; no picture if config.evaluation.gallery_images is 0.
    """
    shown = examples.look_at(outcomes, examples.evenly(outcomes[0], count(outcomes[0])))
    if not shown:
        return []
    rows = []
    for example in shown:
        large = sheets.enlarge(example.image)
        tiles = [visualize.overlay(large, activation_map) for activation_map in example.maps]
        if boxes:
            tiles = [sheets.with_boxes(tile, box, example.truth) for tile, box in zip(tiles, example.boxes)]
        rows.append([large, *tiles])
    heads = ["image", *(outcome.label for outcome in outcomes)]
    pixels = sheets.grid(rows, heads=heads, boxes=boxes)
    of_all = (EVENLY, *_box_rule(outcomes[0], boxes), _names(shown), _MAPS, *of_seed(outcomes[0]))
    return [Picture("maps", title, pixels, (*of_all, *notes))]


def boxes_gallery(
    outcome: Outcome, indices: Sequence[int], title: str, *notes: str, maps: bool = True
) -> list[Picture]:
    """Draws images with the box of an outcome and the ground truth and, below each, the map laid over the image.

    Args:
      outcome: the outcome.
      indices: of the images in the evaluated split.
      title: of the picture.
      *notes: sentences below it; the first one says how the images were chosen.
      maps: whether to draw the maps.

    Returns:
      The picture; no picture if there is no index.
    """
    shown = examples.look_at([outcome], indices)
    if not shown:
        return []
    boxed, mapped = [], []
    for example in shown:
        large = sheets.enlarge(example.image)
        boxed.append(sheets.with_boxes(large, example.boxes[0], example.truth))
        mapped.append(visualize.overlay(large, example.maps[0]))
    rows = []
    for start in range(0, len(shown), _COLUMNS):
        rows.append(boxed[start : start + _COLUMNS])
        if maps:
            rows.append(mapped[start : start + _COLUMNS])
    all_notes = (*notes, *_box_rule(outcome, True), _names(shown), *([_MAPS] if maps else []), *of_seed(outcome))
    return [Picture("boxes", title, sheets.grid(rows), all_notes)]


def of_seed(outcome: Outcome) -> list[str]:
    """Returns the note that says which of several seeds the maps are of; no note for a single seed."""
    seed, *others = (run.config.seed for run in outcome.runs)
    return [f"Maps are those of seed {seed}."] if others else []


def paint(image: np.ndarray, mask: np.ndarray, colour: Sequence[int]) -> np.ndarray:
    """Paints the pixels of a coarse mask, bool [h, w], on a copy of an image, uint8 [H, W, 3]."""
    rows, columns = (np.arange(side) * cells // side for side, cells in zip(image.shape, mask.shape))
    return np.where(mask[rows][:, columns, np.newaxis], np.asarray(colour, np.uint8), image)


def _box_rule(outcome: Outcome, has_boxes: bool) -> list[str]:
    options = outcome.runs[0].config.evaluation
    rule = f"Boxes are those of the box rule {options.box_rule} at the threshold {options.threshold:g}."
    return [rule] if has_boxes else []


def _names(shown: Sequence[Example]) -> str:
    return f"Images: {', '.join(example.name for example in shown)}."
