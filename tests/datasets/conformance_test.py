"""The requirements for every data set plug-in, tested without data. A new plug-in is tested automatically."""
from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys

import pytest

from ornet_tf import registry
from ornet_tf.data.source import SPLITS

NAMES = registry.choices("datasets")


def options_of(name):
    parameters = inspect.signature(registry.find("datasets", name)).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def required(name):
    """Returns a value for each required option, with which no data can be found."""
    return {key: "nowhere" for key, option in options_of(name).items() if option.default is inspect.Parameter.empty}


every = pytest.mark.parametrize("name", NAMES)
every_with_required_options = pytest.mark.parametrize("name", [name for name in NAMES if required(name)])


@every
def test_load_takes_a_split_and_keyword_only_options(name):
    parameters = list(inspect.signature(registry.find("datasets", name)).parameters.values())
    split, *options = parameters
    assert (split.name, split.default) == ("split", inspect.Parameter.empty)
    assert split.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    # Also no **options: a misspelt option must be an error.
    assert {p.kind for p in options} <= {inspect.Parameter.KEYWORD_ONLY}


@every
def test_defaults_cannot_be_changed_by_a_caller(name):
    for key, option in options_of(name).items():
        assert not isinstance(option.default, (list, dict, set)), key


@every
def test_module_split_and_every_option_are_documented(name):
    entry = registry.find("datasets", name)
    module = importlib.import_module(entry.__module__)
    assert len((module.__doc__ or "").split()) >= 5
    text = inspect.getdoc(entry) or ""
    arguments = text.partition("Args:")[2].partition("Returns:")[0]
    documented = re.findall(r"^ {2,4}(\w+)(?: \([^)]*\))?:", arguments, flags=re.MULTILINE)
    assert documented == ["split", *options_of(name)]
    assert "Raises:" in text


@every
@pytest.mark.parametrize("split", ["val", "Train", ""])
def test_an_unknown_split_is_refused_with_the_choices(name, split):
    with pytest.raises(ValueError, match=re.escape(repr(split))) as error:
        registry.find("datasets", name)(split, **required(name))
    assert all(choice in str(error.value) for choice in SPLITS)
    assert "\n" not in str(error.value)


@every_with_required_options
def test_missing_data_is_named_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere") as error:
        registry.find("datasets", name)("train", **required(name))
    assert "\n" not in str(error.value)


@every
def test_options_are_checked_by_the_registry(name):
    entry = registry.find("datasets", name)
    registry.check_options(entry, required(name), where="config.dataset.options")
    with pytest.raises(ValueError, match="config.dataset.options.no_such_option: unknown option"):
        registry.check_options(entry, {**required(name), "no_such_option": 1}, where="config.dataset.options")
    if required(name):
        with pytest.raises(ValueError, match=f"missing option.*config.dataset.options.{next(iter(required(name)))}"):
            registry.check_options(entry, {}, where="config.dataset.options")


@every
def test_importing_a_plugin_does_not_import_tensorflow(name):
    code = (
        "import importlib, json, sys; "
        f"importlib.import_module('ornet_tf.datasets.{name}'); "
        "print(json.dumps([m for m in ('tensorflow', 'keras', 'tensorflow_datasets') if m in sys.modules]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == []
