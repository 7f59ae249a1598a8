"""The metric of this project with both box rules; localization_metrics_test.py checks the figures."""
import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.errors import UserError
from ornet_tf.metrics import Bootstrap, Settings


def test_each_rule_has_its_own_boxes_and_an_iou_of_exactly_a_half_is_enough():
    one = np.zeros([1, 8, 8, 1], np.float32)
    one[0, 2:6, 2:4], one[0, 0, 7] = 0.9, 0.6  # a component, and a pixel in the corner that is off from 0.65 on
    metric = registry.find("metrics", "corloc")(Settings(components="native", bootstrap=Bootstrap(0)))
    found = metric.measure(tf.constant(one), {})
    truth = {"boxes": np.float32([[[2, 2, 6, 6]]]) / 8, "label": np.array([1]), "logits": np.eye(2)[[1]]}
    metric.update({key: value.numpy() for key, value in found.items()}, truth)
    summary, lines = metric.summary(), metric.per_image()
    assert (summary["tight"]["corloc"], summary["largest"]["corloc"]) == (0.0, 100.0)
    assert summary["tight"]["best_threshold_on_evaluated_data"] == 0.6  # > 0.6 in float32
    boxes = {rule: [float(columns[side][0]) * 8 for side in ("ymin", "xmin", "ymax", "xmax")]
             for rule, columns in lines.items()}
    assert boxes == {"tight": [0, 2, 6, 8], "largest": [2, 2, 6, 4]}
    assert lines["largest"]["iou"][0] == 0.5 and lines["largest"]["right"][0] == 1


def test_in_the_frame_of_the_image_the_ground_truth_is_whole():
    one = np.ones([1, 4, 4, 1], np.float32)
    truth = {
        "boxes": np.float32([[[0, 0, 1, 1]]]),  # the crop hides half of the object
        "whole_boxes": np.float32([[[0, 0, 1, 2]]]),
        "label": np.array([1]),
        "logits": np.eye(2)[[1]],
    }
    found = {}
    for frame in ("view", "image"):
        metric = registry.find("metrics", "corloc")(Settings(bootstrap=Bootstrap(0)), frame=frame)
        boxes = metric.measure(tf.constant(one), {})
        metric.update({key: value.numpy() for key, value in boxes.items()}, truth)
        found[frame] = metric.summary()["largest"]["mean_iou"]
    assert found == {"view": 1.0, "image": 0.5}


def test_an_unknown_frame_is_refused():
    with pytest.raises(UserError, match="frame: expected one of view, image, got 'crop'"):
        registry.find("metrics", "corloc")(Settings(), frame="crop")
