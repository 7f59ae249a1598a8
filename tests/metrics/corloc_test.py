"""The metric of this project with both box rules; localization_metrics_test.py checks the figures."""
import numpy as np
import tensorflow as tf

from ornet_tf import registry
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
