import json
import os
import re
import subprocess
import sys

import pytest

from ornet_tf.errors import UserError
from ornet_tf.runs import run_folder, training_data


def test_a_locked_folder_is_refused_and_its_process_named(tmp_path):
    program = """import sys; from ornet_tf.runs import run_folder
with run_folder.lock(sys.argv[1]): print('locked', flush=True); input()"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "locked\n"
        message = rf"{re.escape(str(tmp_path))} is in use: process {other.pid} on "
        with pytest.raises(ValueError, match=message), run_folder.lock(str(tmp_path)):
            pass
        with run_folder.lock(str(tmp_path), "worker-1"):
            pass  # another process of the same run
        other.kill()
    with run_folder.lock(str(tmp_path)):  # the lock ends with its process
        pass


def test_other_settings_are_refused_and_listed_once_a_checkpoint_exists(tmp_path):
    folder = str(tmp_path / "phase")
    run_folder.bind_settings(folder, {"seed": 5}, learned=False)
    run_folder.bind_settings(folder, {"seed": 0, "phase": {"epochs": 2.0, "pairs": (1, 2)}}, learned=False)
    run_folder.bind_settings(folder, {"seed": 0, "phase": {"epochs": 2.0, "pairs": (1, 2)}}, learned=True)
    other = {"seed": 1, "phase": {"epochs": 3.0, "pairs": (1, 2)}}
    message = "phase.epochs was 2.0, now 3.0; seed was 0, now 1.* --allow_changed_settings"
    with pytest.raises(ValueError, match=message):
        run_folder.bind_settings(folder, other, learned=True)
    run_folder.bind_settings(folder, other, learned=True, allow_changes=True)
    run_folder.bind_settings(folder, other, learned=True)


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/a.json could not be written: File exists"):
        run_folder.write_json(str(tmp_path / "file" / "a.json"), {})


def test_json_is_written_completely_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "result.json"
    run_folder.write_json(str(path), {"a": 1})
    with pytest.raises(ValueError):
        run_folder.write_json(str(path), endless())
    assert json.loads(path.read_text()) == {"a": 1}


READERS = {
    "data.json": lambda folder: training_data.class_names(folder),
    "finished.json": run_folder.read_finished,
    "settings.json": lambda folder: run_folder.check_settings(folder, {"seed": 0}),
    "checked_images.json": lambda folder: run_folder.read_json(os.path.join(folder, "checked_images.json")),
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, content) for name in READERS for content in ("[]", "3", "null", '"a"', "{")),
        ("data.json", "{}"),
        ("data.json", '{"training_images": 3, "class_names": "cat"}'),
        ("data.json", '{"training_images": 3, "class_names": [3]}'),
        ("finished.json", "{}"),
        ("finished.json", '{"id": 3}'),
        ("settings.json", '{"phase": {"method": []}}'),
        ("settings.json", '{"phase": {"losses": {"area": 3}}}'),
        ("settings.json", '{"phase": {"losses": {"area": {"plugin": "area"}}}}'),
        ("checked_images.json", '{"train": 3}'),
        ("checked_images.json", '{"train": {}}'),
        ("checked_images.json", '{"train": {"fingerprint": "a", "left_out": 3}}'),
    ],
)
def test_a_file_with_unexpected_content_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    message = rf"^{re.escape(str(tmp_path / name))} (has unexpected content|can't be read)"
    with pytest.raises(UserError, match=message):
        READERS[name](str(tmp_path))


def test_other_json_files_have_any_content_unless_a_schema_is_given(tmp_path):
    path = str(tmp_path / "a.json")
    run_folder.write_json(path, [1, 2])
    assert run_folder.read_json(path) == run_folder.read_json(path, [int]) == [1, 2]
    with pytest.raises(UserError, match="a.json has unexpected content"):
        run_folder.read_json(path, {"counts": [int]})


def endless():
    value = {}
    value["self"] = value
    return value


def test_a_phase_is_refused_if_its_origin_was_trained_again(tmp_path):
    run_folder.mark_finished(str(tmp_path / "stage_one"))
    start = {"starts_from": {"stage_one": run_folder.run_id(str(tmp_path), "stage_one")}}
    run_folder.bind_settings(str(tmp_path / "stage_two"), start, learned=False)
    run_folder.check_origin(str(tmp_path), "stage_two")
    run_folder.check_origin(str(tmp_path), "stage_one")  # started from no phase
    run_folder.mark_finished(str(tmp_path / "stage_one"))  # again
    with pytest.raises(UserError, match="stage_two started from an earlier stage_one, which was trained again"):
        run_folder.check_origin(str(tmp_path), "stage_two")
