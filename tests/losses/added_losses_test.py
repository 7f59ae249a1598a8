"""The losses that are not in the paper."""
import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.losses import agreement, background_suppression, pseudo_mask_agreement
from tests.losses.loss_inputs import inputs, slopes, values_and_gradients


def reference_divergence(logits, teacher):
    p, q = (np.exp(x) / np.exp(x).sum() for x in (teacher, logits))
    return (p * np.log(p / q)).sum()


def test_agreement_is_the_divergence_from_the_teacher_which_gets_no_gradient():
    logits, teacher = inputs("agreement")
    values, [gradient, teacher_gradient] = values_and_gradients(agreement.loss, [logits, teacher])
    for i, (row, target) in enumerate(zip(logits.numpy().astype(np.float64), teacher.numpy().astype(np.float64))):
        np.testing.assert_allclose(values[i], reference_divergence(row, target), rtol=1e-5)
        expected = slopes(lambda x, t=target: reference_divergence(x, t), row)
        np.testing.assert_allclose(gradient[i], expected, rtol=1e-4, atol=1e-6)
    assert not teacher_gradient.any()
    np.testing.assert_allclose(agreement.loss(teacher + 3.0, teacher), np.zeros(4), atol=1e-6)


def test_agreement_refuses_logits_of_other_classes():
    with pytest.raises(ValueError, match=r"\[B, K\].*\(2, 3\), \(2, 4\)"):
        agreement.loss(tf.zeros([2, 3]), tf.zeros([2, 4]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_pseudo_mask_agreement_is_the_cross_entropy_of_pixels_and_the_mask_gets_no_gradient(smoothing):
    maps, masks = inputs("pseudo_mask_agreement")
    loss = pseudo_mask_agreement.loss
    values, [gradient, mask_gradient] = values_and_gradients(loss, [maps, masks], label_smoothing=smoothing)
    for i in range(4):
        target = masks[i].numpy().astype(np.float64).ravel() * (1.0 - smoothing) + smoothing / 2.0

        def reference(pixels, target=target):
            return -(target * np.log(pixels) + (1.0 - target) * np.log(1.0 - pixels)).mean()

        pixels = maps[i].numpy().astype(np.float64).ravel()
        np.testing.assert_allclose(values[i], reference(pixels), rtol=1e-5)
        np.testing.assert_allclose(gradient[i].ravel(), slopes(reference, pixels), rtol=1e-4, atol=1e-6)
    assert not mask_gradient.any()


def test_a_map_that_is_the_opposite_of_its_pseudo_mask_gets_a_gradient():
    maps = tf.reshape(tf.constant([0.0, 1.0]), [2, 1, 1, 1])
    _, [gradient, _] = values_and_gradients(pseudo_mask_agreement.loss, [maps, 1.0 - maps])
    assert gradient[0] < -1e3 and gradient[1] > 1e3


def test_a_pseudo_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\[B, h, w, 1\].*\(2, 4, 4, 1\), \(2, 8, 8, 1\)"):
        pseudo_mask_agreement.loss(tf.zeros([2, 4, 4, 1]), tf.zeros([2, 8, 8, 1]))


def test_background_suppression_is_a_share_of_the_whole_which_gets_no_gradient():
    background, whole = tf.constant([3.0, 0.0, 5.0]), tf.constant([4.0, 2.0, 0.0])
    values, [gradient, whole_gradient] = values_and_gradients(background_suppression.loss, [background, whole])
    np.testing.assert_allclose(values, [0.75, 0.0, 0.0])
    np.testing.assert_allclose(gradient, [0.25, 0.5, 0.0])
    assert not whole_gradient.any()


def test_background_suppression_refuses_maps():
    with pytest.raises(ValueError, match=r"\[B\].*\(2, 4\), \(2,\)"):
        background_suppression.loss(tf.zeros([2, 4]), tf.zeros([2]))
