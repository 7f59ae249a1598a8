"""Links, commands, options and names in the documentation exist."""
from __future__ import annotations

import ast
import functools
import importlib
import inspect
import posixpath
import re
import shlex

import pytest
from ml_collections import ConfigDict

from configs import image_folder
from ornet_tf import config_check, predict, registry, renamed
from ornet_tf.errors import UserError
from tests import source_tree

PAGES = [path for path in source_tree.paths() if path.endswith(".md")]
GUIDE = [path for path in PAGES if path == "README.md" or path.startswith("docs/")]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.M | re.S)
SHARED_FLAGS = {"config", "workdir", "verbosity"}


def blocks(path, language):
    return [text for name, text in FENCE.findall(source_tree.text(path)) if name == language]


def table(path, heading):
    """The cells of the first table after a heading, without its head."""
    section = source_tree.text(path).split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def anchors(path):
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", source_tree.text(path)), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(path), file)) if file else path
        exists = file in source_tree.paths() or any(known.startswith(f"{file}/") for known in source_tree.paths())
        if not exists or (anchor and anchor not in anchors(file)):
            yield target


@pytest.mark.parametrize("path", PAGES)
def test_every_link_leads_somewhere(path):
    assert not list(broken_links(path, source_tree.text(path)))


@pytest.mark.parametrize("target", ["nowhere.md", "training.md", "#nowhere", "docs/training.md#nowhere"])
def test_a_broken_link_is_found(target):
    assert list(broken_links("README.md", f"[here]({target}) and [there](docs/training.md#options)")) == [target]


def test_every_page_is_linked_from_the_readme():
    linked = re.findall(r"\]\((docs/\w+\.md)", source_tree.text("README.md"))
    assert {path for path in GUIDE if path.startswith("docs/")} == {*linked}


def commands(path):
    """The commands of a page, in blocks and in the text, each as a list of words without variables and brackets."""
    text = source_tree.text(path)
    found = [line for block in blocks(path, "") for line in block.replace("\\\n", " ").splitlines()]
    found += re.findall(r"`([^`]+)`", FENCE.sub("", text).replace("\n", " "))
    for line in found:
        line = re.sub(r"^(?:\w+=(?:'[^']*'|\S*) +)+", "", line.split("    #")[0].strip())
        if re.match(r"(python -m|make|pip install) ", line):
            yield shlex.split(re.sub(r"\[(--[^\]]+)\]", r"\1", line))


def own_flags(module):
    """The flags that a program defines, read from its source and from the function that it shares with `predict`."""
    text = source_tree.text(module)
    if "predict.define_format_flags()" in text:
        text += inspect.getsource(predict.define_format_flags)
    return set(re.findall(r"DEFINE_\w+\(\s*\"(\w+)\"", text))


def program(name):
    """The file of `python -m name`."""
    path = name.replace(".", "/")
    return f"{path}.py" if f"{path}.py" in source_tree.paths() else f"{path}/__main__.py"


def config_of(arguments):
    """The configuration that a command line asks for."""
    file, = (argument.split("=")[1] for argument in arguments if argument.startswith("--config="))
    config = importlib.import_module(file.removesuffix(".py").replace("/", ".")).get_config()
    for argument in arguments:
        if argument.startswith("--config."):
            replace(config, argument)
    return config


def replace(config, flag):
    """Does what the flag `--config.a.b=value` does; a name that is not there raises."""
    path, value = flag.split("=", 1)
    *sections, key = path.split(".")[1:]
    section = functools.reduce(lambda section, name: section[name], sections, config)
    section[key] = value if isinstance(section[key], str) else ast.literal_eval(value)


RUNNABLE = sorted({tuple(words) for path in GUIDE for words in commands(path) if words[0] == "python"})
NAMES = sorted({words[2] for words in RUNNABLE})


def check(words):
    """Fails unless a program exists, has the flags that it is given, and takes the configuration."""
    module, arguments = program(words[2]), words[3:]
    assert 'if __name__ == "__main__":' in source_tree.text(module)
    if module == "ornet_tf/datasets/__main__.py":
        assert arguments[:1] in ((), ("check",), ("shard",))
        module = f"ornet_tf/{'shard' if 'shard' in arguments else 'check'}_data.py"
    flags = {re.split(r"[=.]", argument)[0].lstrip("-") for argument in arguments if argument.startswith("--")}
    assert flags <= own_flags(module) | SHARED_FLAGS
    if "config" in flags:
        config_check.validate(config_of(arguments))


@pytest.mark.parametrize("words", RUNNABLE, ids=" ".join)
def test_every_command_names_a_program_its_flags_and_a_valid_configuration(words):
    check(words)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("python -m ornet_tf.learn --config=configs/cub.py", FileNotFoundError),
        ("python -m ornet_tf.train --config=configs/cub.py --keep=3", AssertionError),
        ("python -m ornet_tf.train --config=configs/cup.py", ModuleNotFoundError),
        ("python -m ornet_tf.train --config=configs/cub.py --config.phase.stage_two.rate=1", KeyError),
        ("python -m ornet_tf.evaluate --config=configs/cub.py --config.evaluation.metrics=('half_open',)", UserError),
    ],
)
def test_a_wrong_command_is_found(command, error):
    with pytest.raises(error):
        check(tuple(command.split()))


def test_commands_of_all_programs_are_found():
    programs = {"train", "evaluate", "predict", "formats", "export", "weights", "reproduce", "demo", "prior_boxes"}
    programs |= {"check_data", "shard_data", "datasets", "localize_many"}
    assert {f"ornet_tf.{name}" for name in programs} <= {*NAMES}


@pytest.mark.parametrize("path", GUIDE)
def test_every_make_target_and_extra_exists(path):
    targets = re.search(r"^\.PHONY: (.*)$", source_tree.text("Makefile"), re.M).group(1).split()
    for words in commands(path):
        if words[0] == "make":
            assert words[1] in targets
        for extra in re.findall(r"^\.\[(\w+)\]$", "\n".join(words), re.M):
            assert re.search(rf"^{extra} = \[", source_tree.text("pyproject.toml"), re.M)


@pytest.mark.parametrize("path", GUIDE)
def test_every_option_in_the_text_exists(path):
    text = FENCE.sub("", source_tree.text(path)).replace("config.phase.NAME", "config.phase.stage_one")
    for name in re.findall(r"`(?:--)?config((?:\.(?!py\b)[a-z_0-9]+)+)(?:=[^`]*)?`", text):
        section = image_folder.get_config()
        for key in name.split(".")[1:]:
            assert isinstance(section, ConfigDict) and key in section, name
            section = section[key]


@pytest.mark.parametrize(
    "text", [pytest.param(text, id=f"{path}-{i}") for path in GUIDE for i, text in enumerate(blocks(path, "python"))]
)
def test_every_import_of_an_example_works(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_the_diagram_of_layers_is_the_contract_that_is_checked():
    drawn = [re.split(r" {2,}", line)[0] for line in blocks("docs/architecture.md", "text")[0].splitlines()]
    layers = source_tree.text("pyproject.toml").split("layers = [", 1)[1].split("\n]", 1)[0]
    assert drawn == re.findall(r'^  "(.*)",$', layers, re.M)


def test_all_families_of_plugins_are_listed():
    listed = {re.search(r"`(\w+)/`", cells[0]).group(1): cells[1].strip("`")
              for cells in table("docs/architecture.md", "## The idea")}
    assert listed == registry.ENTRY_POINTS


def test_all_experiments_are_listed():
    cells = "".join(row[0] for row in table("docs/datasets.md", "## Experiments"))
    listed = re.findall(r"configs/(\w+\.py)\)", cells)
    assert sorted(f"configs/{name}" for name in listed) == source_tree.modules("configs")


def test_all_renamed_options_are_listed():
    rows = [cells[:2] for cells in table("docs/training.md", "## Renamed options")]
    listed = {name: new for old, new in rows for name in re.findall(r"`(\w+)`", old)}
    names = {**renamed.NAMES, **renamed.MOVED}
    assert {*listed} == {*names}
    assert all(listed[old].replace("`", "") == new for old, new in names.items())
