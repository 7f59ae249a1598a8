"""MaxBoxAcc and MaxBoxAccV2 against the original's values, and against a direct implementation with OpenCV."""
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf

from configs import toybirds
from ornet_tf import registry
from ornet_tf.errors import MissingPackageError
from ornet_tf.evaluation import measurement
from ornet_tf.maps import score_maps
from ornet_tf.metrics import Bootstrap, Settings
from ornet_tf.metrics._max_box_accuracy import best_iou, whole_pixels

TAUS = (0.0, 0.2, 0.4, 0.6, 0.8)
SIZE = 32


def largest_boxes(scores):
    """Returns the box x0 y0 x1 y1 at each of TAUS of a map of 5 x 5 pixels or less."""
    height, width = scores.shape
    square = np.zeros([1, 5, 5])
    square[0, :height, :width] = scores
    grey = score_maps.grey_levels(tf.constant(square)).numpy()[0, :height, :width]
    metric = registry.find("metrics", "wsol_v1")(Settings(image_size=6))
    boxes = np.concatenate([metric._boxes(grey > int(tau * grey.max())) for tau in TAUS])
    return np.minimum(boxes, [width - 1, height - 1, width - 1, height - 1]).astype(int).tolist()


def test_the_originals_boxes_of_an_empty_map():
    assert largest_boxes(np.zeros([3, 3])) == [[0, 0, 0, 0]] * 5


# The boxes are those of the original's tests for a map of 4 x 5; the maps are our own, made to have these boxes.
def test_the_originals_boxes_of_one_hill():
    hill = np.array([[0, 0, 0, 0, 0], [0, 3, 5, 5, 3], [0, 3, 10, 7, 3], [0, 3, 7, 7, 3]]) / 10
    assert largest_boxes(hill) == [[1, 1, 4, 3], [1, 1, 4, 3], [2, 1, 4, 3], [2, 2, 4, 3], [2, 2, 3, 3]]


def test_the_originals_boxes_of_several_hills():
    # At 0.6 two single pixels are on, and OpenCV lists the later one first.
    hills = np.array([[3, 3, 1, 1, 1], [3, 3, 1, 1, 1], [1, 1, 1, 1, 1], [10, 5, 7, 1, 1]]) / 10
    assert largest_boxes(hills) == [[0, 0, 4, 3], [0, 0, 2, 2], [0, 3, 3, 3], [2, 3, 3, 3], [0, 3, 1, 3]]


def iou(a, b):
    return best_iou(np.array([a], np.float64), np.array([b], np.float64)).item()


def test_the_originals_ious():
    assert iou([1, 2, 5, 6], [3, 1, 4, 5]) == 8 / 27
    assert iou([0, 0, 0, 0], [0, 0, 0, 0]) == 1.0
    assert iou([0, 0, 1, 1], [3, 0, 4, 1]) == 0.0
    assert iou([0, 0, 1, 1], [-1, -1, -1, -1]) == 0.0  # padding


def test_the_originals_resizing_of_boxes():
    """(1, 2, 4, 3) of an image of 10 x 20 becomes (3, 1, 14, 1) at 35 x 10; here each side is resized alone."""
    box = np.array([[2 / 20, 1 / 10, 3 / 20, 4 / 10]], np.float32)
    assert whole_pixels(box, 35)[0, [0, 2]].tolist() == [3, 14]
    assert whole_pixels(box, 10)[0, [1, 3]].tolist() == [1, 1]
    assert whole_pixels(np.zeros([1, 4], np.float32), 10).tolist() == [[-1] * 4]


def test_whole_pixels_are_those_of_the_original_numbers():
    rng = np.random.default_rng(0)
    side = rng.integers(20, 5000, 20000)
    edge = rng.integers(0, side)
    fractions = (np.float32(edge) / np.float32(side)).astype(np.float32)
    boxes = np.stack([0 * fractions, fractions, 0 * fractions + 1, 0 * fractions + 1], axis=1)
    wanted = [int(float(e) * 224.0 / float(s)) for e, s in zip(edge, side)]
    np.testing.assert_array_equal(whole_pixels(boxes, 224)[:, 0], wanted)


def measure(metric, maps, boxes):
    """Adds a batch to a metric."""
    activation_map = tf.constant(maps, tf.float32)
    found = metric.measure(activation_map, {"boxes": boxes}, activation_map)
    metric.update({key: value.numpy() for key, value in found.items()}, {"boxes": boxes})


def reference_ious(scores, truth, taus, every):
    """Returns the best IoU at each threshold of one score map, by plain Python and OpenCV."""
    grey = (scores * 255).astype(np.uint8)
    best = []
    for tau in taus:
        _, on = cv2.threshold(grey, int(tau * grey.max()), 255, cv2.THRESH_BINARY)
        found = cv2.findContours(on, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[-2]
        boxes = [(0, 0, 0, 0)]
        if found:
            rectangles = map(cv2.boundingRect, found if every else [max(found, key=cv2.contourArea)])
            boxes = [(x, y, min(x + w, SIZE - 1), min(y + h, SIZE - 1)) for x, y, w, h in rectangles]
        overlaps = []
        for a in boxes:
            for b in truth:
                width = max(min(a[2], b[2]) - max(a[0], b[0]) + 1, 0)
                height = max(min(a[3], b[3]) - max(a[1], b[1]) + 1, 0)
                areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
                overlaps.append(width * height / (sum(areas) - width * height))
        best.append(max(overlaps))
    return best


@pytest.mark.parametrize(("name", "asked"), [("wsol_v1", (0.5,)), ("wsol_v2", (0.3, 0.5, 0.7))])
@pytest.mark.parametrize("interval", [0.02, 0.1])
def test_figures_of_random_maps_are_those_of_the_direct_implementation(name, asked, interval):
    rng = np.random.default_rng([len(name), round(1 / interval)])
    count, taus = 120, np.arange(0, 1, interval)
    maps = np.stack([cv2.GaussianBlur(rng.random((12, 12)), (0, 0), rng.uniform(0.5, 3)) for _ in range(count)])
    maps[5] = 0.3  # constant: no pixel is on
    corners = np.sort(rng.integers(0, SIZE, (count, 2, 2, 2)), axis=2) + np.array([0, 1])[:, np.newaxis]
    truth = np.concatenate([corners[:, :, 0], corners[:, :, 1]], axis=-1).astype(np.int64)  # ymin xmin ymax xmax
    truth[::3, 1] = 0  # one box only
    metric = registry.find("metrics", name)(Settings(image_size=SIZE, bootstrap=Bootstrap(0)), interval=interval)
    measure(metric, maps[..., np.newaxis], np.float32(truth / SIZE))
    ious = []
    for one, boxes in zip(maps.astype(np.float32).astype(np.float64), truth):
        enlarged = cv2.resize(one, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        enlarged -= enlarged.min()
        scores = enlarged / enlarged.max() if enlarged.max() > 1e-7 else 0 * enlarged
        real = [(box[1], box[0], box[3], box[2]) for box in boxes.tolist() if box[2] > box[0] and box[3] > box[1]]
        ious.append(reference_ious(scores, real, taus, name == "wsol_v2") if real else [np.nan] * len(taus))
    accuracy = 100 * np.mean(np.array(ious)[:, np.newaxis] >= np.array(asked)[:, np.newaxis], axis=0)
    figures = metric.summary()[name]
    assert figures["images_with_boxes"] == count
    assert figures["maxboxacc"] == pytest.approx(accuracy.max(axis=1).mean())
    for iou, of_tau in zip(asked, accuracy):
        key = f"{100 * iou:.0f}"
        assert figures["best_thresholds_on_evaluated_data"][key] == taus[of_tau.argmax()]
        places = [figures["thresholds"].index(tau) for tau in taus if tau in figures["thresholds"]]
        kept = [index for index, tau in enumerate(taus) if tau in figures["thresholds"]]
        np.testing.assert_allclose(np.array(figures["accuracy_by_threshold"][key])[places], of_tau[kept])
    np.testing.assert_allclose(
        metric.per_image()[name]["iou"], np.array(ious)[:, accuracy[asked.index(0.5)].argmax()], rtol=1e-6
    )


def test_a_grid_of_a_thousand_thresholds_has_255_cuts():
    metric = registry.find("metrics", "wsol_v1")(Settings(image_size=SIZE))
    boxes = np.float32([[[0, 0, 0.5, 0.5]]])
    measure(metric, np.arange(64.0).reshape(1, 8, 8, 1), boxes)
    figures = metric.summary()["wsol_v1"]
    assert len(figures["thresholds"]) == len(figures["accuracy_by_threshold"]["50"]) == 255
    assert figures["thresholds"][1] == 0.004  # 1 / 255 = 0.0039


def test_holes_have_contours_that_count_in_the_second_version_only():
    """The ground truth is the box of the contour of a hole in a bright frame."""
    frame = np.ones([1, SIZE, SIZE, 1])
    frame[:, 9:20, 5:13] = 0.0
    boxes = np.float32([[[8, 4, 21, 14]]]) / SIZE
    ious = {}
    for name in ("wsol_v1", "wsol_v2"):
        metric = registry.find("metrics", name)(Settings(image_size=SIZE))
        measure(metric, frame, boxes)
        ious[name] = metric.per_image()[name]["iou"].item()
    assert ious["wsol_v2"] == 1.0 and ious["wsol_v1"] < 0.2


def test_missing_opencv_is_reported_before_anything_is_read(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    config = toybirds.get_config()
    config.evaluation.metrics = ("corloc", "wsol_v2")
    with pytest.raises(MissingPackageError, match="wsol_v2 needs OpenCV .*: pip install opencv-python-headless"):
        measurement.evaluate(config, str(tmp_path / "not_there"))
