"""The metric of this project with both box rules; localization_metrics_test.py checks the figures."""
import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.errors import UserError
from ornet_tf.maps import box_scores, boxes
from ornet_tf.metrics import Bootstrap, Settings, _localization
from tests.maps.boxes_test import smooth_maps


def test_each_rule_has_its_own_boxes_and_an_iou_of_exactly_a_half_is_enough():
    one = np.zeros([1, 8, 8, 1], np.float32)
    one[0, 2:6, 2:4], one[0, 0, 7] = 0.9, 0.6  # a component, and a pixel in the corner that is off from 0.65 on
    metric = registry.find("metrics", "corloc")(Settings(components="native", bootstrap=Bootstrap(0)))
    found = metric.measure(tf.constant(one), {}, tf.constant(one))
    truth = {"boxes": np.float32([[[2, 2, 6, 6]]]) / 8, "label": np.array([1]), "logits": np.eye(2)[[1]]}
    metric.update({key: value.numpy() for key, value in found.items()}, truth)
    summary, lines = metric.summary(), metric.per_image()
    assert (summary["tight"]["corloc"], summary["largest"]["corloc"]) == (0.0, 100.0)
    assert summary["tight"]["best_threshold_on_evaluated_data"] == 0.6  # > 0.6 in float32
    sides = {rule: [float(columns[side][0]) * 8 for side in ("ymin", "xmin", "ymax", "xmax")]
             for rule, columns in lines.items()}
    assert sides == {"tight": [0, 2, 6, 8], "largest": [2, 2, 6, 4]}
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
        measured = metric.measure(tf.constant(one), {}, tf.constant(one))
        metric.update({key: value.numpy() for key, value in measured.items()}, truth)
        found[frame] = metric.summary()["largest"]["mean_iou"]
    assert found == {"view": 1.0, "image": 0.5}


def scored(activation_map, score_map, true_boxes):
    """Returns a metric after one batch of maps [N, h, w]."""
    metric = registry.find("metrics", "corloc")(Settings(components="native", bootstrap=Bootstrap(0)))
    maps = [tf.constant(one[..., np.newaxis]) for one in (activation_map, score_map)]
    found = metric.measure(maps[0], {}, maps[1])
    count = len(activation_map)
    truth = {"boxes": true_boxes[:, np.newaxis], "label": np.zeros(count, int), "logits": np.ones([count, 2])}
    metric.update({key: value.numpy() for key, value in found.items()}, truth)
    return metric


def test_the_box_score_of_the_score_map_ranks_right_boxes_above_wrong_ones():
    rng = np.random.default_rng(0)
    maps = smooth_maps(rng, 40, 8, 8, 2)
    refined = np.float32(maps > 0.5)
    noise = rng.uniform(-0.4, 0.4, (40, 4)).astype(np.float32)
    true = {rule: boxes.find_boxes(maps, [0.5], rule=rule)[:, 0].numpy() + noise for rule in boxes.RULES}
    true["tight"][3] = true["largest"][3] = 0  # an image without ground truth
    for rule, true_boxes in true.items():
        for score_map in (refined, maps):
            metric = scored(refined, score_map, true_boxes)
            figures, columns = metric.summary()[rule], metric.per_image()[rule]
            in_view = boxes.find_boxes(refined, [0.5], rule=rule)
            scores = box_scores.stability(score_map, in_view, max_components=1)
            np.testing.assert_allclose(columns["box_score"], scores[:, 0], atol=1e-6)
            counts = ~np.isnan(columns["right"])
            assert 30 < counts.sum() < 40 and 0 < np.nansum(columns["right"]) < counts.sum()
            expected = pair_counting(columns["box_score"][counts], columns["right"][counts] > 0)
            assert figures["box_score_auroc"] == pytest.approx(expected)
            assert metric.cells(figures, "")["AUROC of the box score"] == f"{expected:.3f}"


def test_there_is_no_area_if_all_boxes_are_right_or_none_is():
    maps, box = np.ones([2, 4, 4], np.float32), np.float32([0, 0, 1, 1])
    for true_boxes in ([box, box], [box / 4, box / 4], [box * 0, box]):
        metric = scored(maps, maps, np.stack(true_boxes))
        figures = metric.summary()["tight"]
        assert figures["box_score_auroc"] is None
        assert metric.cells(figures, "")["AUROC of the box score"] == "-"


def pair_counting(scores, is_right):
    """The area under the ROC curve by its definition."""
    pairs = [(a, b) for a in scores[is_right] for b in scores[~is_right]]
    return sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_the_area_is_the_share_of_pairs_in_order(levels):
    rng = np.random.default_rng(levels)
    for count in (2, 3, 30):
        scores, is_right = rng.integers(0, levels, count) / levels, rng.random(count) < 0.5
        is_right[:2] = True, False
        assert _localization.auroc(scores, is_right) == pytest.approx(pair_counting(scores, is_right))
    assert _localization.auroc(np.arange(4), np.arange(4) > 1) == 1.0
    assert _localization.auroc(np.zeros(4), np.arange(4) > 1) == 0.5


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
    found = metric.measure(tf.constant(maps), {}, tf.constant(maps))
    known = {"label": np.zeros([len(sides)], int), "logits": np.eye(2)[[0] * len(sides)]}
    metric.update({key: value.numpy() for key, value in found.items()}, {**known, **truth})
    return metric


NO_BOXES, HALF, LEFT = np.zeros([1, 4]), np.float32([[0, 0, 0.5, 1]]), np.float32([[0, 0, 0.5, 0.5]])


def test_samples_without_an_image_with_a_box_do_not_widen_the_interval():
    figures = measure_steps([4, 4, 4], boxes=np.stack([HALF, NO_BOXES, NO_BOXES])).summary()["largest"]
    assert (figures["corloc"], figures["corloc_interval"]) == (100.0, [100.0, 100.0])
    assert (figures["locerr_top1"], figures["locerr_top1_interval"]) == (0.0, [0.0, 0.0])


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
