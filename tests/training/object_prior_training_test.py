"""The object prior in training steps: its sums, several devices, and that its features do not change."""
import numpy as np

from ornet_tf import config
from tests.training.tiny_steps import TWO, assert_close, make, train


def with_prior(section):
    """Gives stage one, or stage two, an object prior to learn from."""
    with section.unlocked():
        section.options.object_prior = True
        if section.method == "stage_one":
            section.options.freeze_lower = True
            section.trainable = ("generator/",)
        section.losses.pseudo_mask = config.loss("pseudo_mask_agreement", "activation_map", "pseudo_mask")


def sums(weights):
    return weights["direction/moments/sums"]


def test_the_prior_s_sums_are_the_same_with_two_replicas_and_with_parts_of_a_batch():
    one, weights, moments = train("stage_one", change=with_prior)
    two, of_two, other_moments = train("stage_one", TWO, change=with_prior)
    assert sums(weights)[-1, -1] == 8 * 4 * 4  # the number of positions: [4, 4] for each example
    assert_close(one, two, atol=1e-5, rtol=1e-5)
    assert_close(moments, other_moments, atol=1e-6)
    assert max(np.abs(m).max() for m in moments.values()) > 1e-3
    np.testing.assert_allclose(sums(of_two), sums(weights), rtol=1e-5)
    _, of_parts, _ = train("stage_one", change=with_prior, gradient_accumulation=4)
    np.testing.assert_allclose(sums(of_parts), sums(weights), rtol=1e-5)


def test_a_prior_s_features_do_not_change_while_it_is_learned():
    before = {n: np.asarray(v) for n, v in make("stage_one", change=with_prior)[2].items()}
    _, after, _ = train("stage_one", change=with_prior)
    changed = {name.split("/")[0] for name, value in after.items() if not np.array_equal(value, before[name])}
    assert changed == {"generator", "direction"}  # no moving statistics of lower or upper


def test_stage_two_does_not_change_the_prior():
    step, iterator, variables = make("stage_two", change=with_prior)
    known = np.eye(variables["direction/moments/sums"].shape[0], dtype=np.float32)
    variables["direction/moments/sums"].assign(known)
    done = step.run(iterator, 0, 2)
    np.testing.assert_array_equal(variables["direction/moments/sums"], known)
    assert np.isfinite(done.values).all() and "loss/pseudo_mask" in done.names


def test_statistics_that_are_not_finite_stop_the_loop_at_their_step():
    step, iterator, variables = make("stage_one", TWO, change=with_prior)
    assert step.run(iterator, 0, 2).not_finite == []
    variables["direction/moments/sums"].assign(variables["direction/moments/sums"] * np.float32(np.inf))
    done = step.run(iterator, 2, 5)
    assert len(done.values) == 1
    assert np.isfinite(done.values).all()
    assert done.not_finite == ["direction/moments/sums"]
    assert not done.stopped
