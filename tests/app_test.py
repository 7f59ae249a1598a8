import pathlib
import re
import subprocess
import sys

import pytest

from ornet_tf import app
from tests import forked_programs, source_tree, tiny_experiment

ROOT = pathlib.Path(__file__).parent.parent


WRONG_COMMAND_LINES = [
    (["--workdir=x"], "Flag --config must have a value"),
    (["--config=tests/tiny_experiment.py"], "Flag --workdir must have a value"),
    (["--config=tests/tiny_experiment.py", "--workdir=x", "extra"], "Unexpected argument 'extra'"),
    (["--config=tests/tiny_experiment.py", "--workdir=x", "--epochs=3"], "Unknown command line flag 'epochs'"),
    (
        ["--config=tests/tiny_experiment.py", "--workdir=x", "--config.input.crop=99"],
        "Error: config.input.crop: expected at most resize = 36, got 99.",
    ),
    (["--config=tests/tiny_experiment.py", "--workdir="], "Error: --workdir: expected a path, got an empty string"),
    (["--config=tests/tiny_experiment.py", "--workdir=gs://a/b"], "Error: --workdir: expected a path of this"),
    (["--config=tests/none.py", "--workdir=x"], "tests/none.py"),
    (["--config=tests/none.py", "--workdir=x", "--config.seed=1"], "Error: Configuration is not available"),
    (
        ["--config=tests/tiny_experiment.py", "--workdir=x", "--config.phase.stage_two.epoch=3"],
        "Error: --config.phase.stage_two.epoch=3: unknown option; config.phase.stage_two has "
        "batch_size, cache_frozen_features, epochs, ",
    ),
    (
        ["--config", "tests/tiny_experiment.py", "--workdir=x", "--config.dataset.name=cub", "-config.data.a=1"],
        "Error: -config.data.a=1: unknown option; config has backbone, dataset, ",
    ),
]


@pytest.mark.slow
def test_a_wrong_command_line_fails_with_one_sentence():
    ends = forked_programs.run([["ornet_tf.train", *arguments] for arguments, _ in WRONG_COMMAND_LINES])
    for (arguments, message), (status, output) in zip(WRONG_COMMAND_LINES, ends):
        assert status != 0, arguments
        assert message in output
        if message.startswith("Error"):
            assert "Traceback" not in output


MODULES = [
    path.removesuffix(".py").removesuffix("/__main__").replace("/", ".")
    for path in source_tree.modules("ornet_tf", "serving")
    if '\nif __name__ == "__main__":' in source_tree.text(path)
]
TINY = ["--config=tests/tiny_experiment.py", "--workdir=x"]
ANSWERED_AT_ONCE = [
    *([program, "--help"] for program in MODULES),
    *([program, "--no_such_flag=1"] for program in MODULES),
    ["ornet_tf.train", TINY[0]],
    ["ornet_tf.train", TINY[1]],
    ["ornet_tf.train", *TINY, "extra"],
    ["ornet_tf.train", *TINY, "--workdir="],
    ["ornet_tf.train", *TINY, "--config.phase.stage_two.epoch=3"],
    ["ornet_tf.train", *TINY, "--config.seed=x"],
    ["ornet_tf.train", "--config=tests/none.py", TINY[1]],
    ["ornet_tf.train", "--config=configs/toybirds.py", TINY[1], "--config.nope=1"],
    ["ornet_tf.export", *TINY, "--keep=0"],
    ["ornet_tf.predict", *TINY, "--format=cocoo", "a.jpg"],
    ["ornet_tf.formats", "--predictions=x", "--format=cocoo"],
    ["ornet_tf.reproduce", *TINY],
    ["ornet_tf.check_data", TINY[0], "--split=x"],
    ["ornet_tf.datasets", "x"],
    ["ornet_tf.datasets", "shard", TINY[0]],
]


@pytest.mark.slow
def test_what_is_wrong_with_the_flags_is_answered_without_importing_tensorflow():
    for arguments in ANSWERED_AT_ONCE:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", *arguments],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )
        assert done.returncode != 0, arguments
        assert re.search(r"\| +absl\n", done.stderr)
        assert not re.search(r"\| +(tensorflow|keras)\n", done.stderr), arguments
        assert "Traceback" not in done.stderr, arguments


PROGRAMS = [
    ("train", ("--[no]allow_changed_settings", "--[no]profile")),
    ("evaluate", ()),
    ("predict", ("--format", "--min_score", "--labels", "--decisions")),
    ("prior_boxes", ("--[no]one_class", "--format", "--min_score", "--decisions")),
    ("export", ("--keep",)),
    ("weights", ()),
    ("demo", ()),
    ("reproduce", ("--what", "--seeds")),
    ("check_data", ("--split", "--[no]duplicates", "--[no]headers_only", "--[no]json")),
    ("shard_data", ("--output", "--images_per_shard")),
    ("datasets shard", ("--output", "--images_per_shard")),
    ("datasets check", ("--split", "--[no]duplicates", "--[no]headers_only", "--[no]json")),
]


@pytest.mark.slow
def test_help_lists_the_flags_of_the_program_and_names_the_file_with_the_options():
    command_lines = [[f"ornet_tf.{program.split()[0]}", *program.split()[1:], "--help"] for program, _ in PROGRAMS]
    for (program, own), (_, output) in zip(PROGRAMS, forked_programs.run(command_lines)):
        has_run = not program.startswith(("datasets", "check_data", "shard_data"))
        common = ("--config", "--workdir") if has_run else ("--config",)
        listed = {line.split(":")[0].strip() for line in output.splitlines() if line.startswith("  --")}
        assert listed == {*common, *own}, program
        assert "ornet_tf/config.py documents all options" in " ".join(output.split())


PROGRAM = """
from ornet_tf import app, errors

def fails(config, workdir):
    {statement}

app.run(fails, options={{"workdir": app.WORKDIR}})
"""


def fail(tmp_path, statement):
    flags = ["--config=tests/tiny_experiment.py", f"--workdir={tmp_path}"]
    return forked_programs.run_source(PROGRAM.format(statement=statement), *flags)


@pytest.mark.slow
def test_a_user_error_is_one_sentence_and_a_bug_shows_its_traceback(tmp_path):
    status, text = fail(tmp_path, "raise errors.UserError('Expected a, got b; do c.')")
    assert status == 1
    assert text.splitlines()[-1] == "Error: Expected a, got b; do c."
    assert "Traceback" not in text
    status, text = fail(tmp_path, "int('no number')")
    assert status == 1
    assert "Traceback" in text
    assert text.splitlines()[-1].startswith("ValueError: invalid literal")


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
def test_a_mistyped_option_is_answered_with_the_nearest_name(mistyped, near):
    argv = ["train", "--config=tests/tiny_experiment.py", "--config.dataset.options.seed=2", f"--config.{mistyped}=1"]
    message = app.explain_unknown_option(argv, tiny_experiment.get_config())
    assert message.startswith(f"--config.{mistyped}=1: ")
    assert message.endswith(f" Did you mean {near!r}?") if near else "Did you mean" not in message
    assert app.explain_unknown_option(argv[:3], tiny_experiment.get_config()) == ""


def test_an_option_inside_a_value_is_answered_with_the_value():
    config = tiny_experiment.get_config()
    below, inside = "--config.seed.x=1", "--config.evaluation.report_rows[0]=cam"
    assert app.explain_unknown_option(["train", below], config) == f"{below}: unknown option; config.seed is 0."
    message = app.explain_unknown_option(["train", inside], config)
    assert message.startswith(f"{inside}: expected all values of config.evaluation.report_rows at once")
    assert repr(config.evaluation.report_rows) in message


def test_an_installed_config_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    argv = ["train", "--config=configs/toybirds.py", "--workdir=runs", "--config.seed=1", "--config=none.py"]
    assert app.use_installed_config(argv) == [
        "train", f"--config={ROOT / 'configs/toybirds.py'}", "--workdir=runs", "--config.seed=1", "--config=none.py",
    ]
    assert app.use_installed_config(["train", "--config", "configs/toybirds.py", "--workdir", "configs/cub.py"]) == [
        "train", "--config", str(ROOT / "configs/toybirds.py"), "--workdir", "configs/cub.py",
    ]
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "toybirds.py").write_text("")
    assert app.use_installed_config(argv) == argv  # a file in the current folder comes first
