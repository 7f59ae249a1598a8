import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.maps.score_maps import _cubic_matrix, grey_levels, score_maps


@pytest.mark.parametrize("shape", [(7, 7), (14, 14), (56, 56), (16, 9), (50, 224), (224, 224), (300, 1)])
def test_maps_are_enlarged_as_by_opencv_and_rescaled(shape):
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless, the reference")
    maps = np.random.default_rng(shape).random((3, *shape)).astype(np.float32)
    for got, one in zip(score_maps(tf.constant(maps)[..., tf.newaxis], 224).numpy(), maps):
        wanted = cv2.resize(one.astype(np.float64), (224, 224), interpolation=cv2.INTER_CUBIC)
        wanted -= wanted.min()
        wanted /= wanted.max()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-13)
        assert got.min() == 0 and got.max() == 1


def test_the_kernel_preserves_constants_and_maps_of_the_right_size():
    np.testing.assert_allclose(_cubic_matrix(5, 31).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(_cubic_matrix(9, 9), np.eye(9))


def test_constant_and_not_finite_maps_become_zero():
    maps = np.full([4, 3, 3], 0.3, np.float32)  # its rounding errors must not be rescaled
    maps[1, 0, 0], maps[2, 1, 1] = np.nan, np.inf
    maps[3, 2, 2] = 2
    scores = score_maps(maps, 6).numpy()
    assert not scores[:3].any()
    assert scores[3].max() == 1
    assert not score_maps(np.full([1, 7, 7], 0.1, np.float32), 224).numpy().any()


def test_grey_levels_are_rounded_down():
    scores = tf.constant([0.0, 0.9999 / 255, 1.0001 / 255, 254.999 / 255, 1.0], tf.float64)
    assert grey_levels(scores).numpy().tolist() == [0, 0, 1, 254, 255]


@pytest.mark.parametrize("shape", [[3, 3], [1, 3, 3, 2]])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"activation_map must have the shape \[B, h, w, 1\] or \[B, h, w\], got"):
        score_maps(tf.zeros(shape), 6)
