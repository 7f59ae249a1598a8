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


@pytest.mark.parametrize(("smoothing", "balance"), [(0.0, 0.0), (0.1, 0.5), (0.7, 1.0)])
def test_pseudo_mask_agreement_is_the_cross_entropy_of_pixels_and_the_mask_gets_no_gradient(smoothing, balance):
    maps, masks = inputs("pseudo_mask_agreement")
    loss = pseudo_mask_agreement.loss
    options = {"label_smoothing": smoothing, "balance": balance}
    values, [gradient, mask_gradient] = values_and_gradients(loss, [maps, masks], **options)
    for i in range(4):
        mask = masks[i].numpy().astype(np.float64).ravel()
        weight = ((mask == 0).sum() / (mask == 1).sum()) ** balance
        target = mask * (1.0 - smoothing) + smoothing / 2.0

        def reference(pixels, target=target, weight=weight):
            return -(weight * target * np.log(pixels) + (1.0 - target) * np.log(1.0 - pixels)).mean()

        pixels = maps[i].numpy().astype(np.float64).ravel()
        np.testing.assert_allclose(values[i], reference(pixels), rtol=1e-5)
        np.testing.assert_allclose(gradient[i].ravel(), slopes(reference, pixels), rtol=1e-4, atol=1e-6)
    assert not mask_gradient.any()


def test_a_map_that_is_the_opposite_of_its_pseudo_mask_gets_a_gradient():
    maps = tf.reshape(tf.constant([0.0, 1.0]), [2, 1, 1, 1])
    _, [gradient, _] = values_and_gradients(pseudo_mask_agreement.loss, [maps, 1.0 - maps])
    assert gradient[0] < -1e3 and gradient[1] > 1e3


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_empty_or_full_pseudo_mask_has_a_finite_loss_with_balance(value):
    maps = tf.fill([1, 4, 4, 1], 0.25)
    assert np.isfinite(pseudo_mask_agreement.loss(maps, tf.fill([1, 4, 4, 1], value), balance=1.0)).all()


def test_a_balanced_map_keeps_what_is_in_fewer_than_half_of_the_masks():
    """An end of the object is in 4 of 10 masks: the best map is 0.4 there, and more than 0.5 with a balance."""
    masks = np.zeros([10, 1, 8, 1], np.float32)
    masks[:, :, :2], masks[:4, :, 2] = 1.0, 1.0

    def best(balance):
        logits = tf.Variable(tf.zeros([8]))
        for _ in range(200):
            with tf.GradientTape() as tape:
                maps = tf.tile(tf.reshape(tf.sigmoid(logits), [1, 1, 8, 1]), [10, 1, 1, 1])
                total = tf.reduce_mean(pseudo_mask_agreement.loss(maps, masks, label_smoothing=0.0, balance=balance))
            logits.assign_sub(10.0 * tape.gradient(total, logits))
        return tf.sigmoid(logits)[2]

    np.testing.assert_allclose(best(0.0), 0.4, atol=0.02)
    assert best(1.0) > 0.5


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
