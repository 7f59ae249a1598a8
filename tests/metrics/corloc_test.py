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


def measure_steps(sides, **truth):
    """Returns the metric for a map of each side s: 0.9 in its left half, 0.6 below row s as well, 0.3 elsewhere."""
    metric = registry.find("metrics", "corloc")(Settings(components="native", bootstrap=Bootstrap(20)))
    maps = np.full([len(sides), 8, 8, 1], 0.3, np.float32)
    for one, side in zip(maps, sides):
        one[:side] = 0.6
        one[:side, :4] = 0.9
    found = metric.measure(tf.constant(maps), {})
    known = {"label": np.zeros([len(sides)], int), "logits": np.eye(2)[[0] * len(sides)]}
    metric.update({key: value.numpy() for key, value in found.items()}, {**known, **truth})
    return metric


NO_BOXES, HALF, LEFT = np.zeros([1, 4]), np.float32([[0, 0, 0.5, 1]]), np.float32([[0, 0, 0.5, 0.5]])


def test_without_ground_truth_the_threshold_with_the_highest_mean_iou_with_pseudo_boxes_is_chosen():
    boxes = np.stack([NO_BOXES] * 3)
    # IoUs with HALF: 0.5 below 0.3, 1 from 0.3 on, 0.5 from 0.6 on, so all are right. The empty box is not counted.
    chosen_on = measure_steps([4, 4, 4], boxes=boxes, pseudo_boxes=np.stack([HALF, HALF, NO_BOXES])).summary()
    assert chosen_on["tight"]["images_with_pseudo_boxes"] == 2 and chosen_on["tight"]["images_with_boxes"] == 0
    assert chosen_on["tight"]["best_threshold_on_pseudo_boxes"] == 0.3
    assert chosen_on["tight"]["best_threshold_on_evaluated_data"] is None
    metric = measure_steps([4], boxes=HALF[np.newaxis])
    figures, without = (metric.summary(chosen)["tight"] for chosen in (chosen_on, None))
    added = {
        "threshold_chosen": None,
        "corloc_at_chosen_threshold": None,
        "threshold_chosen_on_pseudo_boxes": 0.3,
        "corloc_at_threshold_chosen_on_pseudo_boxes": 100.0,
        "corloc_at_threshold_chosen_on_pseudo_boxes_interval": [100.0, 100.0],
    }
    assert figures == {**without, **added}
    cells = metric.cells(figures, "train")
    assert cells["at the threshold chosen on train"] == "- (None)"
    on_pseudo_boxes = cells["at the threshold chosen on pseudo boxes of the object prior for train"]
    assert on_pseudo_boxes == "100.0 [100.0, 100.0] (0.3)"


def test_the_choices_on_ground_truth_and_on_pseudo_boxes_stand_side_by_side():
    truth, pseudo = np.stack([LEFT, LEFT]), np.stack([HALF, HALF])
    chosen_on = measure_steps([4, 4], boxes=truth, pseudo_boxes=pseudo).summary()
    without = measure_steps([4, 4], boxes=truth).summary()
    for rule in chosen_on:
        assert chosen_on[rule].pop("images_with_pseudo_boxes") == 2
        assert chosen_on[rule].pop("best_threshold_on_pseudo_boxes") == 0.3
    assert chosen_on == without  # pseudo boxes change no figure that has ground truth
    both = measure_steps([4, 4], boxes=truth, pseudo_boxes=pseudo).summary()
    figures = measure_steps([4], boxes=LEFT[np.newaxis]).summary(both)["largest"]
    assert figures["threshold_chosen"] == figures["best_threshold_on_evaluated_data"] == 0.3
    assert figures["corloc_at_chosen_threshold"] == 100.0


def test_a_split_without_any_pseudo_box_chooses_no_threshold():
    chosen_on = measure_steps([4], boxes=LEFT[np.newaxis], pseudo_boxes=NO_BOXES[np.newaxis]).summary()
    assert chosen_on["tight"]["images_with_pseudo_boxes"] == 0
    figures = measure_steps([4], boxes=LEFT[np.newaxis]).summary(chosen_on)["tight"]
    assert figures["threshold_chosen_on_pseudo_boxes"] is None
    assert figures["corloc_at_threshold_chosen_on_pseudo_boxes"] is None
