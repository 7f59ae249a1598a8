"""Checks architecture rules on the source code, and that each rule catches what it forbids."""
from __future__ import annotations

import ast
import pathlib
import re

import pytest

from ornet_tf import registry
from tests import source_tree

FAMILIES = tuple(registry.ENTRY_POINTS)
MACHINERY = [p for p in source_tree.modules("ornet_tf") if p.split("/")[1] not in FAMILIES]
# "corloc" is also the name of a figure.
PLUGIN_NAMES = {name for family in FAMILIES for name in registry.choices(family)} - {"corloc"}
# config.py has the paper's experiment, renamed.py the old names; demo.py serves a model called ornet, like a metric.
NAME_PLUGINS = {"ornet_tf/config.py", "ornet_tf/demo.py", "ornet_tf/renamed.py"}
# A file with only an interface is tested with its implementations.
INTERFACES = {"ornet_tf/reproduction/contents.py", "ornet_tf/reproduction/study.py"}
TOO_VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
MACHINE_PATH = re.compile(r"(?<![\w./~}-])/(?:work|root|farm|home|Users)\b")


def nodes(tree, *kinds):
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def gradients(tree):
    names = ("GradientTape", "gradients")
    used = [n for n in nodes(tree, ast.Attribute) if n.attr in names and getattr(n.value, "id", "") == "tf"]
    return used + [n for n in nodes(tree, ast.ImportFrom) if any(a.name in names for a in n.names)]


def flag_definitions(tree):
    """Flags defined on import. Programs define their own flags when they are started."""
    if isinstance(tree, ast.Module):
        tree = ast.Module([node for node in tree.body if not starts_program(node)], [])
    called = [(n, getattr(n.func, "attr", getattr(n.func, "id", ""))) for n in nodes(tree, ast.Call)]
    return [node for node, name in called if name.startswith(("DEFINE_", "_DEFINE_"))]


def starts_program(node):
    """Whether a statement is `if __name__ == "__main__":`, or a function that defines flags for a program."""
    is_main = isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
    return is_main or (isinstance(node, ast.FunctionDef) and node.name in ("start", "define_format_flags"))


def keras_imports(tree):
    def is_keras(module):
        names = r"(keras|tf_keras|tensorflow\.keras|tensorflow\.python\.keras|tensorflow_addons)(\.|$)"
        return re.match(names, module) is not None

    found = [n for n in nodes(tree, ast.Import) if any(is_keras(a.name) for a in n.names)]
    for node in nodes(tree, ast.ImportFrom):
        module = node.module or ""
        if is_keras(module) or any(is_keras(f"{module}.{a.name}") for a in node.names):
            found.append(node)
    attributes = [n for n in nodes(tree, ast.Attribute) if n.attr == "keras"]
    return found + [n for n in attributes if getattr(n.value, "id", "") in ("tf", "tensorflow")]


def plugin_names(tree):
    docstrings = {
        id(node.body[0].value)
        for node in nodes(tree, ast.Module, ast.ClassDef, ast.FunctionDef)
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    constants = [n for n in nodes(tree, ast.Constant) if isinstance(n.value, str) and id(n) not in docstrings]
    return [n for n in constants if n.value in PLUGIN_NAMES]


def long_functions(tree):
    def length(node):  # without its docstring
        first = node.body[0]
        has_docstring = ast.get_docstring(node) is not None
        return node.end_lineno - node.lineno + 1 - (first.end_lineno - first.lineno + 1 if has_docstring else 0)

    functions = nodes(tree, ast.FunctionDef, ast.AsyncFunctionDef)
    return [n for n in functions if length(n) > (25 if n.name == "main" else 60)]


def expect_none(found):
    """Fails with a line for each violation."""
    if found:
        pytest.fail("\n".join(["violations:", *map(str, found)]), pytrace=False)


def violations(rule, paths, allowed=()):
    """Returns "path:line: source" of each violation of `rule` in files outside `allowed`."""
    return [
        f"{path}:{node.lineno}: {source_tree.text(path).splitlines()[node.lineno - 1].strip()}"
        for path in paths
        if path not in allowed
        for node in rule(source_tree.tree(path))
    ]


@pytest.mark.parametrize(
    "rule, source",
    [
        (gradients, "with tf.GradientTape() as tape: pass"),
        (gradients, "g = tf.gradients(a, b)"),
        (gradients, "from tensorflow import GradientTape"),
        (flag_definitions, "flags.DEFINE_string('a', None, '')"),
        (flag_definitions, "x = DEFINE_config_file('config')"),
        (keras_imports, "import keras"),
        (keras_imports, "import numpy, keras.layers as layers"),
        (keras_imports, "from keras.layers import Dense"),
        (keras_imports, "from tensorflow import keras"),
        (keras_imports, "import tf_keras"),
        (keras_imports, "from tensorflow_addons.image import connected_components"),
        (keras_imports, "layer = tf.keras.layers.Dense(3)"),
        (plugin_names, "if method == 'stage_two': pass"),
        (plugin_names, "CHOICES = {'toybirds': 1}"),
        (long_functions, "def main():\n" + "  x = 1\n" * 26),
        (long_functions, "async def f():\n" + "  x = 1\n" * 61),
    ],
)
def test_rules_catch_what_they_forbid(rule, source):
    assert rule(ast.parse(source))


@pytest.mark.parametrize(
    "rule, source",
    [
        (keras_imports, "from ornet_tf.compat import keras"),
        (keras_imports, "import keras_preprocessing"),
        (plugin_names, "def f():\n  'toybirds'\n"),
        (flag_definitions, "if __name__ == '__main__':\n  flags.DEFINE_string('a', None, '')"),
        (long_functions, "def f():\n  '''One.\n\n  Two.\n  '''\n" + "  x = 1\n" * 59),
    ],
)
def test_rules_allow_other_code(rule, source):
    assert not rule(ast.parse(source))


def test_only_one_module_computes_gradients_for_training():
    # Grad-CAM's forward pass uses a gradient; nothing is trained with it.
    allowed = ("ornet_tf/training/step.py", "ornet_tf/methods/grad_cam.py")
    expect_none(violations(gradients, source_tree.modules("ornet_tf"), allowed))
    assert [len(gradients(source_tree.tree(path))) for path in allowed] == [1, 1]


def test_importing_defines_only_the_flags_of_app():
    expect_none(violations(flag_definitions, source_tree.modules("ornet_tf", "configs"), {"ornet_tf/app.py"}))


def test_only_compat_imports_keras_and_the_addons_and_it_stays_small():
    expect_none(violations(keras_imports, source_tree.modules(), {"ornet_tf/compat.py"}))
    assert len(source_tree.text("ornet_tf/compat.py").splitlines()) <= 65


def test_only_plugins_name_plugins():
    expect_none(violations(plugin_names, MACHINERY, NAME_PLUGINS))


def test_functions_and_files_are_short():
    lengths = {path: len(source_tree.text(path).splitlines()) for path in source_tree.modules()}
    long_files = [f"{path}: {length} lines" for path, length in lengths.items() if length > 250]
    expect_none(violations(long_functions, source_tree.modules()) + long_files)


def test_file_names_are_not_vague():
    stems = {path: {part.split(".")[0] for part in pathlib.PurePosixPath(path).parts} for path in source_tree.paths()}
    expect_none([path for path, parts in stems.items() if parts & TOO_VAGUE])


def test_tests_mirror_the_tree():
    """Each module has its test file at the same place; a plug-in its own or the one of its family."""
    def expected(path):
        folder, _, name = path.removeprefix("ornet_tf/").rpartition("/")
        name = name.removesuffix(".py").lstrip("_")
        own = f"tests/{folder}/{name}_test.py".replace("//", "/")
        if folder not in FAMILIES:
            return [own]
        return [own, *(f"tests/{folder}/{family}_test.py" for family in (folder, "conformance"))]

    modules = [
        path for path in source_tree.modules("ornet_tf")
        if not path.endswith("__init__.py") and path not in INTERFACES and not is_program(path)
    ]
    expect_none([path for path in modules if not any(test in source_tree.paths() for test in expected(path))])


def test_programs_are_short():
    expect_none([
        f"{path}: {len(source_tree.text(path).splitlines())} lines"
        for path in source_tree.modules("ornet_tf")
        if is_program(path) and len(source_tree.text(path).splitlines()) > 90
    ])


def is_program(path):
    return '\nif __name__ == "__main__":' in source_tree.text(path) or path.endswith("__main__.py")


@pytest.mark.parametrize(
    "line, caught",
    [
        ("cd /" + "work/main", True),  # in halves, as this file is checked too
        ("open('/" + "root/x')", True),
        ("/" + "home/anna/birds", True),
        ("runs/work/a", False),
        ("s3://bucket/root/a", False),
        ("train and/or work", False),
        ("{folder}/work", False),
    ],
)
def test_paths_of_one_machine_are_recognized(line, caught):
    assert bool(MACHINE_PATH.search(line)) is caught


def test_no_file_contains_a_path_of_one_machine():
    found = []
    for path in source_tree.paths():
        content = (source_tree.ROOT / path).read_bytes()
        if b"\0" not in content:
            lines = enumerate(content.decode("utf-8", "replace").splitlines(), start=1)
            found += [f"{path}:{number}: {line.strip()}" for number, line in lines if MACHINE_PATH.search(line)]
    expect_none(found)


@pytest.mark.parametrize("path", source_tree.modules("configs"))
def test_a_config_documents_its_command_and_defines_get_config(path):
    docstring = ast.get_docstring(source_tree.tree(path)) or ""
    assert re.search(rf"python -m ornet_tf\.train --config={re.escape(path)}( \S+)* --workdir=runs/\w+", docstring)
    assert any(node.name == "get_config" for node in nodes(source_tree.tree(path), ast.FunctionDef))
