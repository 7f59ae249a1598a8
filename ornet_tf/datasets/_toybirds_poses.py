"""Places birds in the images of toybirds: their geometry, and places for several birds in one image.

Lengths are in units of 1/64 of the image's side.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ornet_tf.datasets import _toybirds_shapes as shapes

OVERHANG = 1.0
# A later bird has a choice of places. At a good place it hides no other bird by more than this depth.
PLACES = 24
_DEPTH = 1.5
# The share of later birds that stand next to another one. The others take any good place.
_NEIGHBOUR_SHARE = 0.5
# N birds are smaller by the factor N ** -_SHRINKAGE than a single one, so that there are good places for all of them.
_SHRINKAGE = 0.4
# Positions of discs that cover body and tail, as shares of their lengths.
_BODY_DISCS = (-0.8, -0.4, 0.0, 0.4, 0.8)
_TAIL_DISCS = (0.25, 0.5, 0.75, 1.0)


class Pose(NamedTuple):
    """The geometry of B birds, each field float64 [B, 1, 1]; the body's axis points to the head."""

    centre_y: np.ndarray
    centre_x: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    length: np.ndarray
    width: np.ndarray
    head_y: np.ndarray
    head_x: np.ndarray
    head_radius: np.ndarray
    tail: np.ndarray
    tail_width: np.ndarray
    tail_bend: np.ndarray


def size_in_flock(count: np.ndarray) -> np.ndarray:
    """Returns the factor of the size of a bird in an image with `count` birds, int [B]: float64 [B], 1 for one bird."""
    return count**-_SHRINKAGE


def make_pose(u: Mapping[str, np.ndarray], size: np.ndarray) -> Pose:
    """Converts uniform random numbers to poses that extend beyond the image by no more than OVERHANG.

    Args:
      u: name -> float64 [B].
      size: float64 [B], a factor of all lengths.
    """
    angle, turn = 2 * np.pi * u["angle"], 0.7 * u["head_turn"] - 0.35
    cosine, sine = np.cos(angle), np.sin(angle)
    length, width, radius = 13 + 3 * u["length"], 7.5 + 2.5 * u["width"], 5 + 1.3 * u["head_radius"]
    tail, tail_width, bend = 9 + 4 * u["tail"], 1.7 + 0.7 * u["tail_width"], 6 * u["tail_bend"] - 3
    reach = length + 0.45 * radius
    along, across = reach * np.cos(turn), 0.7 * reach * np.sin(turn)
    head = (along * sine + across * cosine, along * cosine - across * sine)
    tip = (-(length + tail) * sine + bend * cosine, -(length + tail) * cosine - bend * sine)
    half = (np.hypot(length * sine, width * cosine), np.hypot(length * cosine, width * sine))
    low = [np.minimum(np.minimum(h - radius, t - tail_width), -e) for h, t, e in zip(head, tip, half)]
    high = [np.maximum(np.maximum(h + radius, t + tail_width), e) for h, t, e in zip(head, tip, half)]
    room = shapes.SIDE + 2 * OVERHANG
    scale = np.minimum(size * (0.75 + 0.5 * u["scale"]), room / np.maximum(high[0] - low[0], high[1] - low[1]))
    centre = [
        -OVERHANG - scale * start + place * (room - scale * (end - start))
        for start, end, place in zip(low, high, (u["y"], u["x"]))
    ]
    scaled = (scale * v for v in (length, width, *head, radius, tail, tail_width, bend))
    return Pose(*(v[:, None, None] for v in (*centre, cosine, sine, *scaled)))


def choose_place(
    u: Mapping[str, np.ndarray], places: np.ndarray, is_neighbour: np.ndarray, size: np.ndarray, earlier: Sequence[Pose]
) -> Pose:
    """Returns the poses of one more bird in each image, at a good place among the earlier ones.

    Without a good place, the bird takes the one where it hides the others least.

    Args:
      u: name -> float64 [B], as for `make_pose`; its "y" and "x" are not used.
      places: float64 [B, PLACES, 2], uniform random numbers: "y" and "x" of the places.
      is_neighbour: float64 [B], a uniform random number.
      size: float64 [B], as for `make_pose`.
      earlier: the poses of the earlier birds of these images.
    """
    count = places.shape[1]
    repeated = {name: np.repeat(values, count) for name, values in u.items()}
    repeated.update(y=places[..., 0].ravel(), x=places[..., 1].ravel())
    pose = make_pose(repeated, np.repeat(size, count))
    others = np.concatenate([_cover_with_discs(other) for other in earlier], axis=1)  # [B, D, 3]
    discs = _cover_with_discs(pose).reshape([len(places), count, -1, 1, 3])
    others = others[:, None, None]
    distance = np.hypot(discs[..., 0] - others[..., 0], discs[..., 1] - others[..., 1])
    gap = (distance - discs[..., 2] - others[..., 2]).min((2, 3))  # [B, PLACES]
    is_good = gap >= -_DEPTH
    nearest = np.where(is_good, gap, np.inf).argmin(1)
    chosen = np.where(is_neighbour < _NEIGHBOUR_SHARE, nearest, is_good.argmax(1))
    chosen = np.where(is_good.any(1), chosen, gap.argmax(1))
    return Pose(*(field[np.arange(len(places)) * count + chosen] for field in pose))


def _cover_with_discs(pose: Pose) -> np.ndarray:
    """Returns discs (y, x, radius) that cover most of each bird: float64 [B, 10, 3]."""
    y, x, cosine, sine, length, width, head_y, head_x, head_radius, tail, tail_width, bend = (f[:, 0, 0] for f in pose)
    discs = [(y + head_y, x + head_x, head_radius)]
    for t in _BODY_DISCS:
        discs.append((y + t * length * sine, x + t * length * cosine, width * np.sqrt(1 - t**2)))
    for t in _TAIL_DISCS:
        along, across = -(length + t * tail), bend * t**2
        discs.append((y + along * sine + across * cosine, x + along * cosine - across * sine, tail_width))
    return np.stack([np.stack(disc, -1) for disc in discs], 1)
