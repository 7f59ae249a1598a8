import os
import pathlib
import subprocess
import sys

import pytest

from ornet_tf import app

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
        (
            ["--config=tests/tiny_experiment.py", "--workdir=x", "--config.phase.stage_two.lr=3"],
            "Error: --config.phase.stage_two.lr=3: the configuration has no such value",
        ),
    ],
)
def test_a_wrong_command_line_is_answered_in_a_sentence_and_fails(arguments, message):
    done = run("ornet_tf.train", *arguments)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    if message.startswith("Error"):
        assert "Traceback" not in done.stderr


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
