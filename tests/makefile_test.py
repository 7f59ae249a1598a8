"""Targets of the Makefile create their environment once, update it if requirements change, and check Python's version.

A stand-in for Python records its arguments, so nothing is installed here.
"""
import os
import shutil
import subprocess

import pytest

from tests import source_tree

TEST = "pytest -q --numprocesses=2 --dist=loadfile --no-loadscope-reorder"
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

STAND_IN = """#!/bin/sh
case "$0" in *lint-imports) echo lint-imports >> calls; exit ;; esac
echo "$*${ORNET_PEER_PYTHON:+ against $ORNET_PEER_PYTHON}" >> calls
case "$*" in
  "-m venv "*) mkdir -p $3/bin && cp "$0" $3/bin/python && cp "$0" $3/bin/lint-imports ;;
  *"pip install"*) test ! -e offline ;;
esac
"""
VENV = "-m venv .venv"
RUNTIME = "-m pip install --disable-pip-version-check --no-compile --requirement requirements.txt"
DEV = "-m pip install --disable-pip-version-check --no-compile --requirement requirements-dev.txt"
ADDONS = [
    "-m venv .venv-addons",
    "-m pip install --disable-pip-version-check --quiet pip>=25",
    "-m pip install --disable-pip-version-check --no-compile --requirement requirements-addons.txt",
]
LINT = ["-m ruff check .", "lint-imports"]
DEMO = "-m ornet_tf.demo --config=configs/toybirds.py --workdir=runs/demo"


def run_make(folder, *arguments):
    """Runs make as from a shell, also if `make test` or `make test-addons` runs this test."""
    ours = ("MAKE", "MFLAGS", "ORNET_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def make(tmp_path):
    """Runs make in a folder with the Makefile; returns the arguments of Python's calls without the version check."""
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "requirements-addons.txt"):
        shutil.copyfile(source_tree.ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (1, 1))
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)

    def run(*targets):
        calls = tmp_path / "calls"
        calls.unlink(missing_ok=True)
        run_make(tmp_path, *targets, f"PYTHON={python}", f"PYTHON_ADDONS={python}")
        return [line for line in calls.read_text().splitlines() if not line.startswith("-c ")]

    return run


def test_the_environment_is_created_once(make):
    assert make("demo") == [VENV, RUNTIME, DEMO]
    assert make("demo") == [DEMO]


def test_tests_install_the_development_requirements(make):
    assert make("test") == [VENV, RUNTIME, DEV, *LINT, f"-m {TEST}"]
    assert make("demo") == [DEMO]
    assert make("test-fast") == [f"-m {TEST} -m not slow"]


@pytest.mark.parametrize(("given", "data"), [((), "toybirds"), (("DATA=cub10",), "cub10")])
def test_compare_makes_the_table_of_all_rivals(make, given, data):
    arguments = f"--config=configs/rivals_{data}.py --workdir=runs/rivals_{data} --what=table1"
    assert make("compare", *given) == [VENV, RUNTIME, f"-m ornet_tf.reproduce {arguments}"]
    assert (source_tree.ROOT / "configs" / f"rivals_{data}.py").exists()


def test_addons_have_their_own_environment(make, tmp_path):
    chosen = ["backbones", "methods", "models", "runs", "training"]
    chosen += [f"{name}_test.py" for name in ("build", "compat", "conversion", "program", "two_stacks")]
    chosen += ["evaluation/measurement_test.py", "maps/addons_components_test.py"]
    chosen += ["inference/localizer_test.py", "inference/saved_model_test.py"]
    assert all((source_tree.ROOT / "tests" / name).exists() for name in chosen)
    tests = " ".join([f"-m {TEST} -m not slow", *(f"tests/{name}" for name in chosen)])
    assert make("test-addons") == [*ADDONS, tests]
    assert make("test-addons") == [tests]
    assert make("demo") == [VENV, RUNTIME, DEMO]
    peer = tmp_path / ".venv" / "bin" / "python"
    assert make("test-addons") == [f"{tests} against {peer}"]


def test_changed_requirements_are_installed(make, tmp_path):
    make("test")
    later = (tmp_path / ".venv" / ".dev-installed").stat().st_mtime + 10
    os.utime(tmp_path / "requirements-dev.txt", (later, later))
    assert make("demo") == [DEMO]
    assert make("lint") == [DEV, *LINT]


def test_an_interrupted_installation_is_resumed(make, tmp_path):
    (tmp_path / "offline").touch()
    assert make("demo") == [VENV, RUNTIME]
    (tmp_path / "offline").unlink()
    assert make("demo") == [RUNTIME, DEMO]


@pytest.mark.parametrize("python", ["false", "no-such-python"])
def test_a_wrong_python_is_refused(tmp_path, python):
    shutil.copyfile(source_tree.ROOT / "Makefile", tmp_path / "Makefile")
    (tmp_path / "requirements.txt").touch()
    answer = run_make(tmp_path, "demo", f"PYTHON={python}")
    assert answer.returncode != 0
    assert f"Expected Python 3.11, 3.12 or 3.13 behind the command {python}" in answer.stderr
    assert "make demo PYTHON=python3.12" in answer.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_wrong_python_for_the_addons_is_refused(tmp_path):
    shutil.copyfile(source_tree.ROOT / "Makefile", tmp_path / "Makefile")
    (tmp_path / "requirements-addons.txt").touch()
    for name in ("false", ""):
        answer = run_make(tmp_path, "test-addons", f"PYTHON_ADDONS={name}")
        assert answer.returncode != 0
        assert f"Expected Python 3.10 or 3.11 for tensorflow-addons, got '{name}'" in answer.stderr
        assert "make test-addons PYTHON_ADDONS=python3.11" in answer.stderr
        assert not (tmp_path / ".venv-addons").exists()


def test_help_lists_every_target():
    listed = run_make(source_tree.ROOT, "help").stdout
    phony = next(line for line in source_tree.text("Makefile").splitlines() if line.startswith(".PHONY:"))
    assert [line.split()[1] for line in listed.splitlines()] == phony.split()[1:]
