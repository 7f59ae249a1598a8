"""Both stages with the option `object_prior`."""
import numpy as np
import pytest

from ornet_tf import registry
from ornet_tf.errors import UserError
from ornet_tf.methods import predicted_classes
from tests.tiny_methods import BUILDERS, batch, images, normalized, randomize_weights


@pytest.mark.parametrize("name", ["stage_one", "stage_two"])
def test_a_prior_on_trained_features_is_refused(name):
    with pytest.raises(UserError, match="object_prior: expected freeze_lower = True"):
        registry.find("methods", name)(BUILDERS, object_prior=True)


@pytest.mark.parametrize(("name", "upper"), [("stage_one", "upper"), ("stage_two", "evaluator_upper")])
def test_with_a_prior_the_generator_reads_the_last_features_cached_or_not(name, upper):
    method = registry.find("methods", name)(BUILDERS, object_prior=True, freeze_lower=True)
    features = method.parts["lower"](normalized())
    last = method.parts[upper](features)["features"]
    expected = method.parts["generator"]([features, last])["activation_map"]
    np.testing.assert_allclose(method.predict(images())["activation_map"], expected, atol=1e-5)
    np.testing.assert_allclose(method.forward(batch(), training=False)["activation_map"], expected, atol=1e-5)
    cached = {**batch(), "low_level_features": features, "last_features": 2.0 * last}
    expected = method.parts["generator"]([features, 2.0 * last])["activation_map"]
    found = method.forward(cached, training=False)["activation_map"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - method.predict(images())["activation_map"]).max() > 1e-3


@pytest.mark.parametrize(("name", "upper"), [("stage_one", "upper"), ("stage_two", "evaluator_upper")])
def test_the_score_map_is_the_priors_for_the_predicted_class(name, upper):
    for refine in (False, True):
        method = registry.find("methods", name)(BUILDERS, object_prior=True, refine=refine, freeze_lower=True)
        randomize_weights(method.parts["direction"])
        outputs = method.predict(images())
        features = method.parts["lower"](normalized())
        last, classes = method.parts[upper](features)["features"], predicted_classes(outputs["logits"])
        scores, others = (method.prior.scores(features, last, labels) for labels in (classes, (classes + 1) % 3))
        assert np.abs(scores - others).max() > 0.1
        np.testing.assert_allclose(outputs["score_map"], scores, atol=1e-5)
