"""Matches, recall and average precision of several boxes in an image."""
import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.errors import UserError
from ornet_tf.maps import box_scores, boxes
from ornet_tf.metrics import Bootstrap, Settings
from ornet_tf.metrics.several_boxes import average_precision
from tests.maps.boxes_test import smooth_maps

SIDE = 12


def measured(maps, true_boxes, name="several_boxes", unrefined=None, **options):
    """Returns a metric after one batch; true boxes are in pixels, and padding is added."""
    settings = Settings(image_size=SIDE, components="native", bootstrap=Bootstrap(0))
    metric = registry.find("metrics", name)(settings, **options)
    most = max(1, *map(len, true_boxes))
    padded = np.float32([[*image, *[[0] * 4] * (most - len(image))] for image in true_boxes]) / SIDE
    count = len(maps)
    truth = {"boxes": padded, "whole_boxes": padded, "label": np.zeros(count, int), "logits": np.ones([count, 2])}
    score_map = maps if unrefined is None else unrefined
    activation_map, score_map = (tf.constant(one[..., np.newaxis], tf.float32) for one in (maps, score_map))
    found = metric.measure(activation_map, truth, score_map)
    metric.update({key: value.numpy() for key, value in found.items()}, truth)
    return metric


def draw(*rectangles):
    """Returns a map of rectangles (ymin, xmin, ymax, xmax, value)."""
    one = np.zeros([SIDE, SIDE], np.float32)
    for top, left, bottom, right, value in rectangles:
        one[top:bottom, left:right] = value
    return one


def figures_of(*images, **options):
    """Returns the figures and the columns of images (map, true boxes)."""
    metric = measured(np.stack([one for one, _ in images]), [true for _, true in images], **options)
    return metric.summary()["several"], metric.per_image()["several"]


def loop_average_precision(scores, is_right, true_boxes):
    """Average precision by its definition, with a point for each score."""
    boxes_of_all = [(s, r) for ss, rr in zip(scores, is_right) for s, r in zip(ss, rr) if s >= 0]
    points = []
    for least in sorted({score for score, _ in boxes_of_all}, reverse=True):
        right = [r for score, r in boxes_of_all if score >= least]
        points.append((sum(right) / sum(true_boxes), sum(right) / len(right)))
    area, before = 0.0, 0.0
    for i, (recall, _) in enumerate(points):
        area += (recall - before) * max(precision for _, precision in points[i:])
        before = recall
    return area


def test_all_objects_are_found_by_several_boxes_and_one_by_the_largest():
    one = draw((1, 1, 5, 6, 0.9), (7, 2, 10, 5, 0.8), (8, 8, 10, 10, 0.7))
    true = [[1, 1, 5, 6], [7, 2, 10, 5], [8, 8, 10, 10]]
    figures, columns = figures_of((one, true))
    assert (figures["recall"], figures["average_precision"]) == (100.0, 100.0)
    assert figures["recall_of_largest"] == pytest.approx(100 / 3)
    assert figures["true_boxes"] == 3
    assert {key: values.tolist() for key, values in columns.items()} == {
        "iou": [1.0], "boxes": [3], "right_boxes": [3], "true_boxes": [3],
    }  # fmt: skip
    assert figures_of((one, true), max_boxes=2)[0]["recall"] == pytest.approx(200 / 3)
    assert figures_of((one, true), max_boxes=1)[0]["recall"] == pytest.approx(100 / 3)


def test_objects_that_touch_are_found_if_components_are_split():
    one = draw((1, 1, 6, 5, 1.0), (3, 5, 4, 6, 0.6), (1, 6, 6, 10, 1.0))
    true = [[1, 1, 6, 5], [1, 6, 6, 10]]
    assert figures_of((one, true))[0]["recall"] == 0.0
    figures = figures_of((one, true), split=True)[0]
    assert (figures["recall"], figures["split"]) == (100.0, True)


def test_a_binary_map_is_split_where_the_map_that_gives_the_scores_is_low():
    binary = draw((1, 1, 6, 10, 1.0))
    scores = draw((1, 1, 6, 5, 0.9), (1, 5, 6, 6, 0.55), (1, 6, 6, 10, 0.8))
    true = [[1, 1, 6, 5], [1, 6, 6, 10]]
    assert figures_of((binary, true), split=True)[0]["recall"] == 0.0
    assert figures_of((binary, true), unrefined=scores[np.newaxis])[0]["recall"] == 0.0
    assert figures_of((binary, true), unrefined=scores[np.newaxis], split=True)[0]["recall"] == 100.0


def test_each_true_box_is_matched_once_and_the_next_best_one_is_taken():
    # Both components have an IoU of at least 0.5 with the first true box, the second one only with it.
    one = draw((0, 0, 4, 6, 1.0), (5, 0, 9, 6, 0.6))
    overlapping = [[0, 0, 8, 6], [5, 0, 9, 6]]
    assert figures_of((one, overlapping))[0]["recall"] == 100.0
    figures, columns = figures_of((one, [[0, 0, 8, 6]]))
    assert columns["right_boxes"].tolist() == [1] and figures["recall"] == 100.0
    figures, columns = figures_of((one, [[0, 0, 8, 6], [0, 0, 8, 6]]))  # the same object twice
    assert columns["right_boxes"].tolist() == [1] and figures["recall"] == 50.0


def test_precision_falls_with_wrong_boxes_of_high_scores():
    right = (draw((2, 2, 6, 6, 0.7)), [[2, 2, 6, 6]])
    wrong = (draw((2, 2, 6, 6, 0.9)), [[7, 7, 11, 11]])
    assert figures_of(right, wrong)[0]["average_precision"] == pytest.approx(25)
    low = (draw((2, 2, 6, 6, 0.6)), [[7, 7, 11, 11]])
    assert figures_of(right, low)[0]["average_precision"] == pytest.approx(50)
    # Unrefined maps give the scores, of any resolution, and refined ones the boxes.
    unrefined = np.stack([draw((1, 1, 3, 3, 0.7))[:6, :6], draw((1, 1, 3, 3, 0.6))[:6, :6]])
    assert figures_of(right, wrong, unrefined=unrefined)[0]["average_precision"] == pytest.approx(50)
    best = figures_of(right, wrong)[0]
    assert best["best_threshold_on_evaluated_data"] == 0.05
    assert best["average_precision_by_threshold"][14] == 0  # at 0.75 the only box left is the wrong one


def test_images_without_true_boxes_are_left_out_and_counted():
    right = (draw((2, 2, 6, 6, 0.7)), [[2, 2, 6, 6]])
    background = (draw((2, 2, 6, 6, 0.9)), [])
    figures, columns = figures_of(right, background)
    assert (figures["images"], figures["images_with_boxes"]) == (2, 1)
    assert (figures["average_precision"], figures["recall"]) == (100.0, 100.0)
    assert np.isnan(columns["iou"]).tolist() == [False, True]
    nothing = figures_of(background)[0]
    assert nothing["average_precision"] is None and nothing["recall"] is None


@pytest.mark.parametrize(("max_boxes", "noise"), [(1, 2.0), (3, 1.0)])
def test_figures_are_those_of_a_loop(max_boxes, noise):
    rng = np.random.default_rng(max_boxes)
    maps = smooth_maps(rng, 40, SIDE, SIDE, 2)
    found, counts = (v.numpy() for v in boxes.find_largest_boxes(maps, 0.5, max_boxes=max_boxes))
    scores = box_scores.stability(maps, found, max_components=max_boxes).numpy()
    near = found * SIDE + rng.normal(0, noise, found.shape)  # some have no area
    true = [[box for box in image if np.all(box[2:] > box[:2])] for image in near]
    is_right = np.zeros(scores.shape, bool)
    for i, image in enumerate(true):
        free = list(range(len(image)))
        for j in sorted(range(counts[i]), key=lambda j: -scores[i, j]):
            overlaps = [float(boxes.iou(found[i, j], np.float32(image[k]) / SIDE)) for k in free]
            if overlaps and max(overlaps) >= 0.5:
                free.pop(int(np.argmax(overlaps)))
                is_right[i, j] = True
    scores[np.arange(max_boxes) >= counts[:, np.newaxis]] = -1
    has_true = np.array([bool(image) for image in true])
    sizes = np.array([len(image) for image in true])
    figures = measured(maps, true, max_boxes=max_boxes).summary()["several"]
    assert 20 < figures["recall"] < 80
    assert figures["recall"] == pytest.approx(100 * is_right.sum() / sizes.sum())
    expected = loop_average_precision(scores[has_true], is_right[has_true], sizes[has_true])
    assert figures["average_precision"] == pytest.approx(100 * expected)


def test_with_one_true_box_the_recall_of_the_largest_is_corloc():
    rng = np.random.default_rng(3)
    corner = rng.integers(0, 5, (50, 1, 2))
    true = np.concatenate([corner, corner + rng.integers(3, 7, (50, 1, 2))], axis=-1)
    moved = np.clip(true[:, 0] + rng.integers(-1, 2, (50, 4)), 0, SIDE)
    maps = np.stack([draw((*box, 0.9), (11, 11, 12, 12, 1.0)) for box in moved])
    ours = measured(maps, true.tolist()).summary()["several"]
    corloc = measured(maps, true.tolist(), "corloc").summary()["largest"]
    assert 0 < ours["recall_of_largest"] < 100 and ours["recall_of_largest"] == pytest.approx(corloc["corloc"])


def test_average_precision_with_equal_scores_and_samples():
    rng = np.random.default_rng(0)
    scores = rng.integers(-1, 6, (30, 4)) / 5
    is_right = (rng.random((30, 4)) < 0.5) & (scores >= 0)
    true_boxes = is_right.sum(axis=1) + rng.integers(0, 3, 30) + 1
    (single,) = average_precision(scores, is_right, true_boxes)
    assert single == pytest.approx(loop_average_precision(scores, is_right, true_boxes))
    for times in Bootstrap(6).draws(30):
        for picked, value in zip(times, average_precision(scores, is_right, true_boxes, times)):
            rows = np.repeat(np.arange(30), picked)
            assert value == pytest.approx(loop_average_precision(scores[rows], is_right[rows], true_boxes[rows]))


def test_wrong_options_are_refused():
    with pytest.raises(UserError, match="frame: expected one of view, image, got 'crop'"):
        registry.find("metrics", "several_boxes")(Settings(), frame="crop")
    with pytest.raises(UserError, match="max_boxes: expected at least 1, got 0"):
        registry.find("metrics", "several_boxes")(Settings(), max_boxes=0)
