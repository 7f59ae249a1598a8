"""The authors' metric against a direct implementation of section 2.6 of their code's description."""
import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.metrics import Bootstrap, Settings
from ornet_tf.metrics._localization_metrics import THRESHOLDS

SIDE, SIZE = 14, 56  # of the map and of the image, in pixels


def box_of(activation_map, threshold):
    """Returns x0 y0 x1 y1 in pixels of the image; a map pixel has four of them."""
    rows, columns = np.nonzero(activation_map > np.float32(threshold))
    if not len(rows):
        return 0, 0, SIZE, SIZE
    return tuple(SIZE // SIDE * int(edge) for edge in (columns.min(), rows.min(), columns.max(), rows.max()))


def iou(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def run(maps, truth):
    metric = registry.find("metrics", "ornet")(Settings(image_size=SIZE, bootstrap=Bootstrap(0)))
    count = len(maps)
    activation_map = tf.constant(maps, tf.float32)[..., tf.newaxis]
    found = metric.measure(activation_map, {}, activation_map)
    boxes = np.float32(truth)[:, np.newaxis, [1, 0, 3, 2]] / SIZE
    known = {"label": np.zeros(count, int), "logits": np.eye(3)[np.arange(count) % 3]}  # a third is right
    metric.update(
        {key: value.numpy() for key, value in found.items()},
        {"whole_boxes": boxes, "boxes": np.clip(boxes, 0, 1), **known},
    )
    return metric.summary()["ornet"]


def test_figures_of_random_maps_are_those_of_the_direct_implementation():
    rng = np.random.default_rng(3)
    low = rng.integers(-8, 25, (150, 2))
    truth = np.concatenate([low, low + rng.integers(12, 45, (150, 2))], axis=1)  # partly outside the image
    x, y = ((low + truth[:, 2:]) / 2).T[:, :, np.newaxis, np.newaxis] * SIDE / SIZE
    distance = (np.arange(SIDE) + 0.5 - x) ** 2 + (np.arange(SIDE)[:, np.newaxis] + 0.5 - y) ** 2
    maps = np.float32(np.exp(-distance / rng.uniform(3, 60, (150, 1, 1))) * rng.uniform(0.8, 1, (150, SIDE, SIDE)))
    right = np.array([[iou(box_of(m, t), b) > 0.5 for t in THRESHOLDS] for m, b in zip(maps, truth.tolist())])
    figures, corloc = run(maps, truth), 100 * right.mean(axis=0)
    assert 10 < corloc.max() < 90
    np.testing.assert_allclose(figures["corloc_by_threshold"], corloc)
    assert figures["corloc_best_on_evaluated_data"] == pytest.approx(corloc.max())
    is_top1 = np.arange(150) % 3 == 0
    error = 100 - 100 * np.mean(right[:, corloc.argmax()] & is_top1)
    assert figures["locerr_top1_best_on_evaluated_data"] == pytest.approx(error)


def test_an_iou_of_exactly_a_half_is_too_small():
    one = np.zeros([1, SIDE, SIDE])
    one[0, 2:7, 2:5] = 1  # to the near edge of the last pixel: x 8..16, y 8..24
    assert run(one, [[8, 8, 16, 40]])["corloc"] == 0.0
    assert run(one, [[8, 8, 16, 39]])["corloc"] == 100.0
