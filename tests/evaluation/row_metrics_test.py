import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.errors import UserError
from ornet_tf.evaluation import row_metrics
from tests import tiny_experiment


def make_config(**options):
    config = tiny_experiment.get_config()
    config.evaluation.update({"metrics": ("corloc",), **options})
    return config


def summary(metric):
    """Returns the figures of a map whose box is the left half of the object, where it is 0.9; elsewhere it is 0."""
    activation_map = np.zeros([1, 8, 8, 1], np.float32)
    activation_map[0, 2:6, 2:4] = 0.9
    truth = {"boxes": np.float32([[[2, 2, 6, 6]]]) / 8, "label": np.array([1]), "logits": np.eye(2)[[1]]}
    found = metric.measure(tf.constant(activation_map), truth, tf.constant(activation_map))
    metric.update(tf.nest.map_structure(np.asarray, found), truth)
    return metric.summary()["tight"]


@pytest.mark.parametrize(
    ("options", "corloc"),
    [({}, 100.0), ({"iou_threshold": 0.6}, 0.0), ({"threshold": 0.95}, 0.0)],
    ids=["default", "iou_threshold", "threshold"],
)
def test_settings_of_the_evaluation_decide_what_is_right(options, corloc):
    (metric,) = row_metrics.make_metrics(make_config(**options)).values()
    assert summary(metric)["corloc"] == corloc


def test_bootstrap_samples_give_intervals():
    for count in (0, 10):
        figures = summary(row_metrics.make_metrics(make_config(), count)["corloc"])
        assert ("corloc_interval" in figures) is (count > 0)


def test_metrics_get_their_own_options():
    config = make_config(metrics=("corloc", "pxap"))
    assert list(row_metrics.make_metrics(config)) == ["corloc", "pxap"]
    config.evaluation.metric_options.pxap.interval = 1.0
    with pytest.raises(UserError, match="interval: expected at least"):
        row_metrics.make_metrics(config)


def test_each_row_has_metrics_without_results():
    config = make_config()
    for _ in range(2):
        assert summary(row_metrics.make_metrics(config)["corloc"])["images"] == 1
