import pathlib

import pytest

from ornet_tf import registry

PACKAGE = pathlib.Path(registry.__file__).parent


@pytest.mark.parametrize("family", sorted(registry.ENTRY_POINTS))
def test_choices_are_the_public_files_of_the_folder(family):
    files = [path.stem for path in (PACKAGE / family).glob("*.py") if not path.stem.startswith("_")]
    assert registry.choices(family) == sorted(files)
    assert "weighted_entropy" in registry.choices("losses")


@pytest.mark.parametrize("family", sorted(registry.ENTRY_POINTS))
def test_every_plugin_has_the_entry_point_of_its_family(family):
    assert registry.choices(family)
    for name in registry.choices(family):
        assert callable(registry.find(family, name))


def test_an_unknown_plugin_is_answered_with_the_path_the_choices_and_the_nearest_name():
    message = "config.method: no plug-in 'stage_tow' .* stage_one.*Did you mean 'stage_two'"
    with pytest.raises(ValueError, match=message):
        registry.find("methods", "stage_tow", where="config.method")


def entry(tensor, *, needed, optional=1):
    return tensor, needed, optional


def test_valid_options_are_accepted():
    registry.check_options(entry, {"needed": 1, "optional": 2}, where="x")


def test_an_unknown_option_is_answered_with_the_path_the_choices_and_the_nearest_name():
    with pytest.raises(ValueError, match="x.optoinal: unknown option.*needed, optional.*Did you mean 'optional'"):
        registry.check_options(entry, {"needed": 1, "optoinal": 2}, where="x")


def test_an_option_of_an_earlier_version_is_answered_with_its_new_name():
    with pytest.raises(ValueError, match="x.seed_threshold: unknown option.*config.object_prior.threshold"):
        registry.check_options(entry, {"needed": 1, "seed_threshold": 0.3}, where="x")


def test_a_positional_parameter_is_no_option():
    with pytest.raises(ValueError, match="x.tensor: unknown option"):
        registry.check_options(entry, {"needed": 1, "tensor": 2}, where="x")


def test_a_missing_option_is_named():
    with pytest.raises(ValueError, match="x: missing option needed"):
        registry.check_options(entry, {}, where="x")
