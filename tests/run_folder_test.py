import json
import re
import subprocess
import sys

import pytest

from ornet_tf import run_folder


def test_a_folder_in_use_is_refused_and_its_user_named(tmp_path):
    program = """import sys; from ornet_tf import run_folder
with run_folder.lock(sys.argv[1]): print('in', flush=True); input()"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "in\n"
        message = rf"{re.escape(str(tmp_path))} is in use: process {other.pid} on .* trains there. Wait for it"
        with pytest.raises(ValueError, match=message), run_folder.lock(str(tmp_path)):
            pass
        with run_folder.lock(str(tmp_path), "worker-1"):
            pass  # another process of the same run
        other.kill()
    with run_folder.lock(str(tmp_path)):  # goes with its process
        pass


def test_other_settings_are_refused_and_listed_once_something_was_learned(tmp_path):
    folder = str(tmp_path / "phase")
    run_folder.claim(folder, {"seed": 5}, learned=False)
    run_folder.claim(folder, {"seed": 0, "phase": {"epochs": 2.0, "pairs": (1, 2)}}, learned=False)
    run_folder.claim(folder, {"seed": 0, "phase": {"epochs": 2.0, "pairs": (1, 2)}}, learned=True)
    other = {"seed": 1, "phase": {"epochs": 3.0, "pairs": (1, 2)}}
    message = "other settings: phase.epochs was 2.0, now 3.0; seed was 0, now 1. Use .* --allow_changed_settings"
    with pytest.raises(ValueError, match=message):
        run_folder.claim(folder, other, learned=True)
    run_folder.claim(folder, other, learned=True, allow_changes=True)
    run_folder.claim(folder, other, learned=True)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/a.json could not be written: File exists. Something is in the way"):
        run_folder.write_json(str(tmp_path / "file" / "a.json"), {})


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "result.json"
    run_folder.write_json(str(path), {"a": 1})
    with pytest.raises(ValueError):
        run_folder.write_json(str(path), loop())
    assert json.loads(path.read_text()) == {"a": 1}


def loop():
    endless = {}
    endless["self"] = endless
    return endless
