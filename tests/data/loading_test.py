import numpy as np
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


def test_the_whole_image_is_resized_to_the_crop_except_for_random_crops():
    config = tiny_experiment.get_config()
    assert loading.view_sizes(config) == {"resize": 36, "crop": 32}
    config.input.evaluation_view = "whole"
    assert loading.view_sizes(config) == {"resize": 32, "crop": 32}
    assert loading.view_sizes(config, random_crop=True) == {"resize": 36, "crop": 32}


def test_the_view_covers_the_centre_or_the_whole_image():
    config = tiny_experiment.get_config()
    np.testing.assert_allclose(loading.view_extent(config), [2 / 36, 2 / 36, 34 / 36, 34 / 36], rtol=1e-6)
    config.input.evaluation_view = "whole"
    assert loading.view_extent(config) == [0.0, 0.0, 1.0, 1.0]


def test_a_view_of_the_whole_image_has_all_boxes():
    config = tiny_experiment.get_config()
    source = loading.load_split(config, "test")
    batches = {}
    for view in ("centre_crop", "whole"):
        config.input.evaluation_view = view
        batches[view] = next(loading.evaluation_batches(config, source).as_numpy_iterator())
    whole, cropped = batches["whole"], batches["centre_crop"]
    assert whole["image"].shape == cropped["image"].shape
    np.testing.assert_array_equal(whole["boxes"], whole["whole_boxes"])
    np.testing.assert_allclose(cropped["whole_boxes"] * 32 / 36 + 2 / 36, whole["whole_boxes"], atol=1e-6)
