"""Each source and test file belongs to a target of BUILD. Bazel confirms it if it is installed."""
import ast
import re
import shutil
import subprocess

import pytest

from tests import source_tree

RULES = ("py_binary", "py_library", "py_test")


def matches(pattern, path):
    """Whether a Bazel glob matches: `*` stays inside a folder, `**` is any number of folders."""
    expression = "".join(
        {"**/": "(?:.+/)?", "**": ".*", "*": "[^/]*"}.get(part, re.escape(part))
        for part in re.split(r"(\*\*/|\*\*|\*)", pattern)
    )
    return re.fullmatch(expression, path) is not None


def glob(include, exclude=(), allow_empty=False):
    """Bazel's glob over the project's files. Like Bazel 8, it refuses an empty result without `allow_empty`."""
    found = [
        path
        for path in source_tree.paths()
        if any(matches(p, path) for p in include) and not any(matches(p, path) for p in exclude)
    ]
    if not found and not allow_empty:
        raise ValueError(f"glob({include}) finds nothing: Bazel 8 refuses that without allow_empty.")
    return found


@pytest.fixture(scope="module")
def targets():
    """Target name -> its rule and attributes. BUILD is run as Python code."""
    declared = {}

    def recorder(rule):
        def record(name, **attributes):
            assert name not in declared, f"two targets are called {name!r}"
            declared[name] = {"rule": rule, **attributes}

        return record

    names = {rule: recorder(rule) for rule in RULES}
    names.update(glob=glob, load=lambda *_: None, package=lambda **_: None)
    exec(compile(source_tree.text("BUILD"), "BUILD", "exec"), names)
    return declared


def select(targets, *rules):
    return {name: target for name, target in targets.items() if target["rule"] in rules}


@pytest.mark.parametrize(
    "pattern, path, expected",
    [
        ("a/**/*.py", "a/b.py", True),
        ("a/**/*.py", "a/b/c/d.py", True),
        ("a/*.py", "a/b/c.py", False),
        ("a/**", "a/b/c.txt", True),
        ("a/*.py", "a/b_py", False),
        ("a/*.py", "b/a/c.py", False),
    ],
)
def test_globs_match_as_in_bazel(pattern, path, expected):
    assert matches(pattern, path) is expected


def test_every_python_file_belongs_to_a_target(targets):
    sources = {path for target in targets.values() for path in target["srcs"]}
    assert [path for path in source_tree.modules() if path not in sources] == []


def test_every_test_file_is_the_source_of_one_test(targets):
    tests = select(targets, "py_test")
    expected = {path: path[len("tests/") : -len(".py")].replace("/", "_") for path in glob(["tests/**/*_test.py"])}
    assert {path: name for name, target in tests.items() for path in target["srcs"] if path in expected} == expected
    assert len(tests) == len(expected)


def test_every_program_is_a_binary(targets):
    programs = {
        path
        for path in source_tree.modules("ornet_tf", "serving", "benchmarks")
        if '\nif __name__ == "__main__":' in source_tree.text(path)
    }
    assert {target["main"] for target in select(targets, "py_binary").values()} == programs


def test_every_named_source_and_dependency_exists(targets):
    for name, target in targets.items():
        missing = [path for path in target["srcs"] + target.get("data", []) if path not in source_tree.paths()]
        assert missing == [], f"//:{name}"
        assert [label for label in target.get("deps", []) if label.lstrip(":") not in targets] == [], f"//:{name}"


def test_dependencies_are_those_of_the_imports(targets):
    """A library depends on exactly the packages that it imports. Programs and tests may depend on more."""
    packages = ("ornet_tf", "serving", "configs", "benchmarks", "tests")

    def imported(path):
        nodes = [n for n in ast.walk(source_tree.tree(path)) if isinstance(n, (ast.Import, ast.ImportFrom))]
        names = [n.module if isinstance(n, ast.ImportFrom) else alias.name for n in nodes for alias in n.names]
        return {name.split(".")[0] for name in names if name} & {*packages}

    def reachable(name):
        deps = {label.lstrip(":") for label in targets[name].get("deps", [])}
        return deps.union(*(reachable(dep) for dep in deps))

    for name, target in targets.items():
        # `ornet_tf.load` imports serving when it is called: who calls it has both.
        sources = [path for path in target["srcs"] if path != "ornet_tf/__init__.py"]
        needed = set().union(*(imported(path) for path in sources))
        assert needed <= {name, *reachable(name)}, f"//:{name}"
        if target["rule"] == "py_library" and not target.get("testonly"):
            assert {label.lstrip(":") for label in target.get("deps", [])} <= needed, f"//:{name}"


def test_bazel_ignores_the_environments():
    named = set(re.findall(r"\.venv[a-z-]*", source_tree.text("Makefile") + source_tree.text(".ci/run"))) - {".venv-"}
    assert len(named) == 3
    assert named <= set(source_tree.text(".bazelignore").splitlines())


def test_bazel_reads_the_same_targets(targets, tmp_path):
    bazel = shutil.which("bazel")
    if bazel is None:
        pytest.skip("bazel is not installed (Debian: apt-get install bazel-bootstrap)")

    command = [bazel, "--batch", f"--output_user_root={tmp_path}", "query", "//... + labels(srcs, //...)"]
    answer = subprocess.run(
        [*command, "--output=label_kind"], cwd=source_tree.ROOT, capture_output=True, text=True, timeout=240
    )
    assert answer.returncode == 0, answer.stderr
    kinds = dict(reversed(line.rsplit(" ", 1)) for line in answer.stdout.splitlines())  # "py_test rule //:a_test"
    rules = {label[len("//:") :]: kind.split()[0] for label, kind in kinds.items() if kind.endswith(" rule")}
    assert rules == {name: target["rule"] for name, target in targets.items()}
    # Bazel's globs also see files that git ignores.
    sources = {label[len("//:") :] for label, kind in kinds.items() if kind == "source file"}
    assert sources >= {path for target in targets.values() for path in target["srcs"]}
