import pytest

from ornet_tf.data import loading
from tests import tiny_experiment


def test_a_split_is_loaded_with_the_configured_options():
    source = loading.load_split(tiny_experiment.get_config(), "validation")
    assert len(source) == 12
    assert len(source.class_names) == 3
    assert source.boxes is not None


def test_an_empty_split_is_an_error():
    config = tiny_experiment.get_config()
    config.dataset.options.validation_count = 0
    with pytest.raises(ValueError, match="validation"):
        loading.load_split(config, "validation")
