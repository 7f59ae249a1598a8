import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import registry
from ornet_tf.maps import score_maps
from ornet_tf.metrics import Bootstrap, Settings

SIZE = 16


def figures(maps, masks, interval=0.001):
    metric = registry.find("metrics", "pxap")(Settings(image_size=SIZE, bootstrap=Bootstrap(0)), interval=interval)
    activation_map = tf.constant(maps, tf.float32)
    found = metric.measure(activation_map, {"mask": tf.constant(masks, tf.uint8)}, activation_map)
    metric.update({key: value.numpy() for key, value in found.items()}, {})
    return metric.summary()["pxap"], metric.per_image()["pxap"]["precision"]


def reference_pxap(scores, masks, interval):
    """Computes PxAP from NumPy's histograms."""
    edges = [*np.arange(0, 1, interval), 1.0, 2.0, 3.0]
    true, false = (np.histogram(scores[masks == value], bins=edges)[0][::-1].cumsum() for value in (1, 0))
    total, before, area = true[-1], 0, 0.0
    for t, f in zip(true, false):
        if t + f:
            area += t / (t + f) * (t - before) / total
        before = t
    return 100 * area


@pytest.mark.parametrize("interval", [0.001, 0.01, 0.25])
def test_pxap_is_that_of_numpys_histograms(interval):
    rng = np.random.default_rng(1)
    masks = rng.choice(np.uint8([0, 1, 255]), (40, SIZE, SIZE), p=[0.6, 0.3, 0.1])
    maps = rng.random((40, SIZE, SIZE)) + 0.5 * (masks == 1)
    scores = score_maps.score_maps(tf.constant(maps, tf.float32), SIZE).numpy()
    summary, precisions = figures(maps, masks, interval)
    assert summary["pxap"] == pytest.approx(reference_pxap(scores, masks, interval))
    assert summary["object_share"] == pytest.approx(100 * np.mean(masks[masks < 255]))
    expected = [reference_pxap(s, m, interval) / 100 for s, m in zip(scores, masks)]
    np.testing.assert_allclose(precisions, expected)


def test_a_perfect_map_has_100_and_a_constant_map_the_share_of_object_pixels():
    masks = np.zeros([2, SIZE, SIZE], np.uint8)
    masks[0, 2:9, 3:8], masks[1, 5:7, 1:12] = 1, 1
    assert figures(masks, masks)[0]["pxap"] == 100.0
    assert figures(np.ones([2, SIZE, SIZE]), masks)[0]["pxap"] == pytest.approx(100 * masks.mean())
    assert figures(1 - masks, masks)[0]["pxap"] == pytest.approx(100 * masks.mean())


def test_without_object_pixels_pxap_is_none():
    summary, precisions = figures(np.random.default_rng(0).random((2, SIZE, SIZE)), np.zeros([2, SIZE, SIZE]))
    assert summary["pxap"] is None
    assert np.isnan(precisions).all()
