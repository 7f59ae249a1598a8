import numpy as np
import pytest

from ornet_tf.metrics import _failure_kinds

TRUTH = [0.2, 0.2, 0.8, 0.7]


def kind_of(box, truth=TRUTH):
    coverage, precision = _failure_kinds.coverage_and_precision([box], [[truth]])
    counts = _failure_kinds.count_failures(np.zeros(1), coverage, precision)
    name, = (kind for kind, count in counts.items() if count)
    return name


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ([0.2, 0.2, 0.3, 0.7], "part"),
        ([0.2, 0.2, 0.45, 0.7], "too small"),
        ([0.0, 0.0, 1.0, 1.0], "too large"),
        ([0.4, 0.2, 1.0, 0.7], "inexact"),
        ([0.0, 0.8, 0.2, 1.0], "wrong place"),
        ([0.7, 0.0, 1.0, 0.4], "wrong place"),
        ([0.5, 0.5, 0.5, 0.5], "wrong place"),
    ],
)
def test_boxes_have_the_expected_kind(box, kind):
    assert kind_of(box) == kind


def test_coverage_and_precision_are_those_of_the_ground_truth_with_the_largest_iou():
    truth = [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0, 0, 0]]
    coverage, precision = _failure_kinds.coverage_and_precision([[0.5, 0.5, 1, 0.75]], [truth])
    assert coverage == pytest.approx([0.5]) and precision == pytest.approx([1.0])
    coverage, precision = _failure_kinds.coverage_and_precision([[0, 0, 1, 1]], np.zeros([1, 2, 4]))
    assert np.isnan(coverage).all() and np.isnan(precision).all()


def test_every_image_with_ground_truth_is_counted_once():
    rng = np.random.default_rng(5)
    corners = np.sort(rng.uniform(0, 1, (2, 500, 2, 2)), axis=2).reshape(2, 500, 4)
    coverage, precision = _failure_kinds.coverage_and_precision(corners[0], corners[1][:, np.newaxis])
    intersection = coverage * (corners[1][:, 2:] - corners[1][:, :2]).prod(axis=1)
    areas = [(c[:, 2:] - c[:, :2]).prod(axis=1) for c in corners]
    right = (intersection / (areas[0] + areas[1] - intersection) >= 0.5).astype(float)
    right[:3] = np.nan
    counts = _failure_kinds.count_failures(right, coverage, precision)
    assert list(counts) == ["right", *_failure_kinds.FAILURE_KINDS]
    assert sum(counts.values()) == 497 and counts["right"] == np.nansum(right)
    assert min(counts.values()) > 0
