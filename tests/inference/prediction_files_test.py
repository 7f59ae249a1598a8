import json
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

from ornet_tf.inference import prediction_files
from tests import source_tree

OVERLAY = b"a JPEG"


def write(folder, *paths, then=None):
    with prediction_files.writing(str(folder)) as predictions:
        for path in paths:
            predictions.add(path, {"file": path}, OVERLAY)
        if then:
            raise then
    assert predictions.count == len(paths)
    return listed(folder)


def listed(folder):
    return json.loads((folder / "predictions.json").read_text(encoding="ascii"))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_run_replaces_what_earlier_ones_wrote_and_nothing_else(tmp_path):
    write(tmp_path, "a/one.jpg", "two.jpg", "three.jpg")
    for name in ("notes.txt", "00009_mine.png", "one.png"):
        (tmp_path / name).write_text("mine")
    write(tmp_path, "four.jpg")
    assert names(tmp_path) == [
        "00000_four.jpg", "00009_mine.png", "index.html", "notes.txt", "one.png", "predictions.json"
    ]  # fmt: skip
    assert listed(tmp_path) == [{"file": "four.jpg", "overlay": str(tmp_path / "00000_four.jpg")}]
    assert (tmp_path / "00000_four.jpg").read_bytes() == OVERLAY


def test_an_overlay_never_takes_the_place_of_a_file_that_is_not_ours(tmp_path):
    (tmp_path / "00000_a.jpg").write_text("mine")
    assert [os.path.basename(entry["overlay"]) for entry in write(tmp_path, "a.jpg")] == ["00000_a_2.jpg"]
    write(tmp_path, "b.jpg")
    assert names(tmp_path) == ["00000_a.jpg", "00000_b.jpg", "index.html", "predictions.json"]
    assert (tmp_path / "00000_a.jpg").read_text() == "mine"


def test_a_list_that_names_other_files_removes_none_of_them(tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    (tmp_path / "00000_a.png").write_text("mine")
    (folder / "notes.png").write_text("mine")
    (folder / "00000_b.png").write_text("an overlay of an earlier version")
    places = ["../00000_a.png", "notes.png", "00000_b.png", "..", 3, None]
    (folder / "predictions.json").write_text(json.dumps([{"overlay": place} for place in places] + ["x", {}]))
    write(folder, "a.jpg")
    assert names(folder) == ["00000_a.jpg", "index.html", "notes.png", "predictions.json"]
    assert (tmp_path / "00000_a.png").exists()


def test_the_list_of_classes_is_that_of_the_run(tmp_path):
    with prediction_files.writing(str(tmp_path), ["wren", "eagle"]) as predictions:
        predictions.add("a.jpg", {"file": "a.jpg"}, OVERLAY)
    assert json.loads((tmp_path / ".class_names.json").read_text()) == ["wren", "eagle"]
    write(tmp_path, "b.jpg")  # by a program that does not know the classes
    assert names(tmp_path) == ["00000_b.jpg", "index.html", "predictions.json"]


@pytest.mark.parametrize("content", ["", "[{", "3", "{}"])
def test_a_damaged_list_stops_nothing(tmp_path, content):
    (tmp_path / "predictions.json").write_text(content)
    assert [entry["file"] for entry in write(tmp_path, "a.jpg", "b.jpg")] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_ends_a_run_leaves_its_results(tmp_path, error):
    with pytest.raises(error):
        write(tmp_path, "a.jpg", "b.jpg", then=error("ended"))
    assert [entry["file"] for entry in listed(tmp_path)] == ["a.jpg", "b.jpg"]
    assert names(tmp_path) == ["00000_a.jpg", "00001_b.jpg", "index.html", "predictions.json"]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count('"file":') == 2 and '"overlay":"00001_b.jpg"' in page


def test_a_run_that_dies_before_its_first_image_leaves_those_of_the_earlier_one(tmp_path):
    before = write(tmp_path, "a.jpg")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, then=KeyboardInterrupt())
    assert listed(tmp_path) == before
    assert names(tmp_path) == ["00000_a.jpg", "index.html", "predictions.json"]


def run(folder, program):
    """Runs a program that has `writing`, `add` and `folder`."""
    lines = f"""
        import os, resource, signal
        from ornet_tf.inference.prediction_files import writing
        folder = {str(folder)!r}
        def add(predictions, name, size=4):
            predictions.add(name, {{"file": name}}, bytes(size))
    """
    script = textwrap.dedent(lines) + textwrap.dedent(program)
    return subprocess.run([sys.executable, "-c", script], cwd=source_tree.ROOT, capture_output=True, text=True)


def test_a_killed_run_leaves_a_line_for_each_image_and_the_next_run_replaces_them(tmp_path):
    write(tmp_path, "before.jpg")
    done = run(tmp_path, """
        with writing(folder) as predictions:
            add(predictions, "a.jpg")
            add(predictions, "b.jpg")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert done.returncode == -9, done.stderr
    assert names(tmp_path) == ["00000_a.jpg", "00001_b.jpg", "predictions.jsonl"]
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == ["a.jpg", "b.jpg"]
    with (tmp_path / "predictions.jsonl").open("a") as file:
        file.write('{"file": "half a li')
    write(tmp_path, "c.jpg")
    assert names(tmp_path) == ["00000_c.jpg", "index.html", "predictions.json"]


def test_a_disk_without_room_leaves_what_was_there_before(tmp_path):
    done = run(tmp_path, """
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # no file grows beyond: the next write fails
        with writing(folder) as predictions:
            add(predictions, "a.jpg")
            add(predictions, "b.jpg", size=300_000)
    """)
    assert "The overlay of b.jpg could not be written to " in done.stderr
    assert f"the result of the image before it remains in {tmp_path}" in done.stderr
    assert [entry["file"] for entry in listed(tmp_path)] == ["a.jpg"]
    assert names(tmp_path) == ["00000_a.jpg", "index.html", "predictions.json"]


def test_a_first_overlay_that_can_not_be_written_costs_nothing_of_an_earlier_run(tmp_path):
    write(tmp_path, "a.jpg")
    before = listed(tmp_path)
    done = run(tmp_path, """
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        with writing(folder) as predictions:
            add(predictions, "b.jpg", size=300_000)
    """)
    assert "The overlay of b.jpg could not be written to " in done.stderr
    assert names(tmp_path) == ["00000_a.jpg", "index.html", "predictions.json"]
    assert listed(tmp_path) == before


def test_a_folder_that_can_not_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="The overlay of .* could not be written to .*file: "):
        write(tmp_path / "file", "a.jpg")


def test_names_of_any_length_and_bytes(tmp_path):
    odd = os.fsdecode(b"caf\xe9 \xff.jpg")
    paths = ["n" * 251 + ".png", "n" * 251 + ".jpg", "\u00e9" * 120 + ".png", odd]
    entries = write(tmp_path, *paths)
    made = [pathlib.Path(entry["overlay"]).name for entry in entries]
    assert made[0] == "00000_" + "n" * 130 + ".jpg" and made[1] == "00001_" + "n" * 130 + ".jpg"
    assert made[2] == "00002_" + "\u00e9" * 65 + ".jpg" and made[3] == "00003_caf\ufffd \ufffd.jpg"
    assert set(made) < set(names(tmp_path))
    write(tmp_path, "a.jpg")
    assert names(tmp_path) == ["00000_a.jpg", "index.html", "predictions.json"]
