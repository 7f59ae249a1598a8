import os
import pathlib
import subprocess
import sys

import pytest

from ornet_tf import app
from tests import tiny_experiment

ROOT = pathlib.Path(__file__).parent.parent


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir=x"], "Flag --config must have a value"),
        (["--config=tests/tiny_experiment.py"], "Flag --workdir must have a value"),
        (["--config=tests/tiny_experiment.py", "--workdir=x", "extra"], "Unexpected argument 'extra'"),
        (["--config=tests/tiny_experiment.py", "--workdir=x", "--epochs=3"], "Unknown command line flag 'epochs'"),
        (
            ["--config=tests/tiny_experiment.py", "--workdir=x", "--config.input.crop=99"],
            "Error: config.input.crop: expected at most resize = 36, got 99.",
        ),
        (["--config=tests/none.py", "--workdir=x"], "tests/none.py"),
        (["--config=tests/none.py", "--workdir=x", "--config.seed=1"], "Error: Configuration is not available"),
        (
            ["--config=tests/tiny_experiment.py", "--workdir=x", "--config.phase.stage_two.epoch=3"],
            "Error: --config.phase.stage_two.epoch=3: the configuration has no such value; config.phase.stage_two has "
            "accumulate, batch_size, epochs, ",
        ),
        (
            ["--config", "tests/tiny_experiment.py", "--workdir=x", "--config.dataset.name=cub", "-config.data.a=1"],
            "Error: -config.data.a=1: the configuration has no such value; config has backbone, dataset, ",
        ),
    ],
)
def test_a_wrong_command_line_is_answered_in_a_sentence_and_fails(arguments, message):
    done = run("ornet_tf.train", *arguments)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    if message.startswith("Error"):
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("mistyped", "near"),
    [
        ("phase.stage_two.epoch", "epochs"),
        ("training.checkpoint_every_seconds", "checkpoint_every"),
        ("data.nope", "dataset"),
        ("nput.crop", "input"),
        ("input.zzz", ""),
    ],
)
def test_the_name_that_was_meant_is_asked_for(mistyped, near):
    argv = ["train", "--config=tests/tiny_experiment.py", "--config.dataset.options.seed=2", f"--config.{mistyped}=1"]
    said = app.mistyped(argv, tiny_experiment.get_config())
    assert said.startswith(f"--config.{mistyped}=1: ")
    assert said.endswith(f" Did you mean {near!r}?") if near else "Did you mean" not in said
    assert app.mistyped(argv[:3], tiny_experiment.get_config()) == ""


def test_a_name_below_a_value_is_answered_with_the_value():
    config = tiny_experiment.get_config()
    below, inside = "--config.seed.x=1", "--config.evaluation.rows[0]=cam"
    assert app.mistyped(["train", below], config) == f"{below}: the configuration has no such value; config.seed is 0."
    assert app.mistyped(["train", inside], config) == (
        f"{inside}: the values of config.evaluation.rows are replaced all at once; it is {config.evaluation.rows!r}."
    )


def test_an_installed_config_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    argv = ["train", "--config=configs/toybirds.py", "--workdir=runs", "--config.seed=1", "--config=none.py"]
    assert app.with_installed_config(argv) == [
        "train", f"--config={ROOT / 'configs/toybirds.py'}", "--workdir=runs", "--config.seed=1", "--config=none.py",
    ]
    assert app.with_installed_config(["train", "--config", "configs/toybirds.py", "--workdir", "configs/cub.py"]) == [
        "train", "--config", str(ROOT / "configs/toybirds.py"), "--workdir", "configs/cub.py",
    ]
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "toybirds.py").write_text("")
    assert app.with_installed_config(argv) == argv  # what is here comes first
