import json

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.metrics._localization_metrics import THRESHOLDS, LocalizationMetrics

WHOLE = [0.0, 0.0, 1.0, 1.0]
HALF = [0.0, 0.0, 0.5, 1.0]
QUARTER = [0.0, 0.0, 0.5, 0.5]
NONE = [0.0, 0.0, 0.0, 0.0]


def worked_example():
    """Returns metrics of five images with three thresholds and six classes; the fourth image has no box."""
    metrics = LocalizationMetrics(thresholds=[0.25, 0.5, 0.75], threshold=0.5, spread_range=(0.5, 0.75))
    boxes = [
        [WHOLE, HALF, QUARTER],  # ground truth HALF: IoUs 0.5 (which is enough), 1, 0.5
        [WHOLE, HALF, QUARTER],  # ground truth QUARTER: 0.25, 0.5, 1
        [WHOLE, QUARTER, QUARTER],  # ground truth the opposite QUARTER and WHOLE: 1, 0.25, 0.25
        [WHOLE, WHOLE, WHOLE],
        [HALF, QUARTER, QUARTER],  # ground truth WHOLE: 0.5, 0.25, 0.25
    ]
    truths = [[HALF, NONE], [NONE, QUARTER], [[0.5, 0.5, 1, 1], WHOLE], [NONE, NONE], [WHOLE, WHOLE]]
    logits = [
        [9, 1, 2, 3, 4, 5],  # label 0: first
        [9, 1, 2, 3, 4, 5],  # label 1: last of six
        [1, 1, 1, 0, 0, 0],  # label 1: second, since class 0 is as high
        [0, 0, 0, 0, 0, 1],  # label 4: sixth
        [5, 5, 5, 5, 5, 5],  # label 4: fifth
    ]
    labels = [0, 1, 1, 4, 4]
    metrics.update(np.float32(boxes[:2]), np.float32(truths[:2]), np.float32(logits[:2]), np.int32(labels[:2]))
    metrics.update(
        tf.constant(boxes[2:]), tf.constant(truths[2:]), tf.constant(logits[2:], tf.float32), tf.constant(labels[2:])
    )
    return metrics


def test_the_summary_of_the_worked_example():
    summary = worked_example().summary()
    assert summary == {
        "images": 5,
        "images_with_boxes": 4,
        "iou_threshold": 0.5,
        "threshold": 0.5,
        "thresholds": [0.25, 0.5, 0.75],
        "clserr_top1": 80.0,  # only the first is right
        "clserr_top5": 40.0,  # the second and the fourth are sixth
        "corloc_by_threshold": [75.0, 50.0, 50.0],
        "corloc": 50.0,
        "locerr_top1": 75.0,
        "locerr_top5": 75.0,
        "best_threshold_on_evaluated_data": 0.25,
        "corloc_best_on_evaluated_data": 75.0,
        "locerr_top1_best_on_evaluated_data": 75.0,
        "locerr_top5_best_on_evaluated_data": 25.0,
        "corloc_spread": 0.0,
        "corloc_spread_range": [0.5, 0.75],
        "corloc_by_iou": {"0.3": 50.0, "0.5": 50.0, "0.7": 25.0},  # the IoUs are 1, 0.5, 0.25, 0.25
        "mean_iou": 0.5,
    }
    assert json.loads(json.dumps(summary)) == summary


def test_the_results_of_the_worked_example():
    results = worked_example().results()
    np.testing.assert_allclose(results.ious[:, 1], [1.0, 0.5, 0.25, np.nan, 0.25])
    np.testing.assert_array_equal(results.ranks, [0, 5, 1, 5, 4])


def reference_iou(a, b):
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    shared = height * width if height > 0 and width > 0 else 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared) if min(areas) > 0 else 0.0


def reference_summary(batches, thresholds, fixed, iou_threshold, low, high):
    """Computes the figures image by image and threshold by threshold, with sorted class lists."""
    right, known1, known5, boxed = [], [], [], []
    for boxes, truths, logits, labels in batches:
        for box, truth, scores, label in zip(boxes, truths, logits, labels):
            order = sorted(range(len(scores)), key=lambda c: (-scores[c], c))
            known1.append(order[0] == label)
            known5.append(label in order[:5])
            truth = [t for t in truth if t[2] > t[0] and t[3] > t[1]]
            boxed.append(bool(truth))
            right.append([any(reference_iou(b, t) >= iou_threshold for t in truth) for b in box])
    count, total = sum(boxed), len(boxed)
    corloc = [100 * sum(r[t] for r in right) / count for t in range(len(thresholds))]
    best = corloc.index(max(corloc))
    part = [c for t, c in zip(thresholds, corloc) if low <= t <= high]

    def locerr(known, t):
        return 100 - 100 * sum(r[t] and k for r, k in zip(right, known)) / count

    return {
        "images": total,
        "images_with_boxes": count,
        "clserr_top1": 100 - 100 * sum(known1) / total,
        "clserr_top5": 100 - 100 * sum(known5) / total,
        "corloc": corloc[fixed],
        "corloc_by_threshold": corloc,
        "corloc_best_on_evaluated_data": corloc[best],
        "best_threshold_on_evaluated_data": thresholds[best],
        "locerr_top1": locerr(known1, fixed),
        "locerr_top5": locerr(known5, fixed),
        "locerr_top1_best_on_evaluated_data": locerr(known1, best),
        "locerr_top5_best_on_evaluated_data": locerr(known5, best),
        "corloc_spread": max(part) - min(part),
    }


@pytest.mark.parametrize(("classes", "iou_threshold"), [(2, 0.5), (5, 0.3), (9, 0.7)])
def test_random_data_against_a_reference(classes, iou_threshold):
    rng = np.random.default_rng(classes)
    metrics = LocalizationMetrics(threshold=0.35, iou_threshold=iou_threshold)
    batches = []
    for count in (1, 40, 17):
        truths = np.sort(rng.integers(0, 17, (count, 3, 2, 2)), axis=2).reshape(count, 3, 4) / 16
        truths[rng.random((count, 3)) < 0.5] = 0
        near = truths[:, :1] + rng.normal(0, 0.1, (count, 19, 4))
        boxes = np.sort(near.reshape(count, 19, 2, 2), axis=2).reshape(count, 19, 4)
        logits = rng.integers(0, 4, (count, classes)).astype(np.float64)
        batches.append((boxes, truths, logits, rng.integers(0, classes, count)))
        metrics.update(*batches[-1])
    expected = reference_summary(batches, list(THRESHOLDS), 6, iou_threshold, 0.2, 0.8)
    summary = metrics.summary()
    assert expected["images_with_boxes"] < expected["images"]
    assert 0 < expected["corloc"] < 100
    for key, value in expected.items():
        assert summary[key] == pytest.approx(value, abs=1e-9), key


def test_thresholds_are_exact_decimal_numbers():
    assert list(THRESHOLDS) == [float(f"{0.05 * i:.2f}") for i in range(1, 20)]


@pytest.mark.parametrize("grid", [THRESHOLDS, np.float32(THRESHOLDS), np.cumsum(np.full(19, 0.05))])
@pytest.mark.parametrize("threshold", [0.15, 0.5, 0.7, 0.95])
def test_a_threshold_is_found_despite_rounding(grid, threshold):
    metrics = LocalizationMetrics(thresholds=grid, threshold=threshold, spread_range=(threshold, threshold))
    position = round(threshold * 20) - 1
    boxes = np.zeros([1, 19, 4])
    boxes[0, position] = WHOLE
    metrics.update(boxes, [[WHOLE]], [[1.0]], [0])
    assert metrics.summary()["corloc"] == 100.0
    assert metrics.summary()["corloc_spread"] == 0.0
    assert metrics.results().ious[0, position] == 1.0


def test_the_spread_covers_its_range_only():
    metrics = LocalizationMetrics()
    boxes = np.zeros([4, 19, 4])
    for image, first in enumerate([0, 3, 8, 17]):  # thresholds 0.05, 0.2, 0.45, 0.9 and above
        boxes[image, first:] = WHOLE
    metrics.update(boxes, [[WHOLE]] * 4, np.zeros([4, 2]), [0] * 4)
    summary = metrics.summary()
    assert summary["corloc_by_threshold"][0] == 25.0
    assert summary["corloc_by_threshold"][-1] == 100.0
    assert summary["corloc_spread"] == 25.0
    assert summary["best_threshold_on_evaluated_data"] == 0.9  # the lowest of equals


def test_images_without_a_box_count_for_classification_only():
    metrics = LocalizationMetrics(thresholds=[0.5])
    metrics.update([[WHOLE]] * 2, np.zeros([2, 0, 4]), [[1.0, 0.0]] * 2, [0, 1])
    summary = metrics.summary()
    assert (summary["images"], summary["images_with_boxes"]) == (2, 0)
    assert (summary["clserr_top1"], summary["clserr_top5"]) == (50.0, 0.0)
    need_boxes = {"corloc", "best_threshold_on_evaluated_data", "locerr_top1", "locerr_top5_best_on_evaluated_data"}
    for key in need_boxes | {"corloc_by_threshold", "corloc_spread"}:
        assert summary[key] is None
    assert np.isnan(metrics.results().ious).all()
    assert set(summary) == set(worked_example().summary())


def test_figures_without_an_update_are_an_error():
    metrics = LocalizationMetrics(thresholds=[0.5])
    for read in (metrics.summary, metrics.results):
        with pytest.raises(RuntimeError, match="call update first"):
            read()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.33}, r"one of 0\.05, 0\.1, .*0\.95; got 0\.33"),
        ({"threshold": float("nan")}, "got nan"),
        ({"thresholds": []}, "ascending"),
        ({"thresholds": [0.5, 0.5]}, "ascending"),
        ({"thresholds": [0.5, 0.4]}, "ascending"),
        ({"iou_threshold": 0.0}, "iou_threshold"),
        ({"iou_threshold": 50}, "iou_threshold"),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LocalizationMetrics(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": np.zeros([2, 3, 4])}, r"boxes must have the shape \[2, 1, 4\], got \[2, 3, 4\]"),
        ({"boxes": np.zeros([2, 1, 5])}, "boxes must have"),
        ({"boxes": np.full([2, 1, 4], np.nan)}, "boxes must be finite"),
        ({"ground_truth": np.zeros([3, 1, 4])}, r"ground_truth must have the shape \[2, any, 4\], got \[3, 1, 4\]"),
        ({"ground_truth": np.zeros([2, 4])}, "ground_truth must have"),
        ({"logits": np.zeros([3, 2])}, "logits must have"),
        ({"logits": [[0.0, np.inf]] * 2}, "logits must be finite"),
        ({"logits": np.zeros([2, 7])}, r"logits must have the shape \[2, 2\]"),  # two classes before
        ({"labels": [0, 2]}, r"labels must lie in 0\.\.1, got 0\.\.2"),
        ({"labels": [-1, 0]}, r"got -1\.\.0"),
        ({"labels": [[0], [1]]}, "labels must have"),
    ],
)
def test_wrong_batches_are_refused_and_not_counted(change, message):
    batch = {"boxes": [[WHOLE]] * 2, "ground_truth": [[WHOLE]] * 2, "logits": np.eye(2), "labels": [0, 1]}
    metrics = LocalizationMetrics(thresholds=[0.5])
    metrics.update(**batch)
    with pytest.raises(ValueError, match=message):
        metrics.update(**{**batch, **change})
    assert metrics.summary()["images"] == 2


def test_labels_must_be_integers():
    with pytest.raises(TypeError, match="labels must be integers, got float64"):
        LocalizationMetrics(thresholds=[0.5]).update([[WHOLE]], [[WHOLE]], [[0.0]], [0.0])
