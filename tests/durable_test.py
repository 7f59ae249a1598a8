import os

import pytest
import tensorflow as tf

from ornet_tf import durable


def test_a_file_takes_the_place_of_another_one_once_it_is_on_the_disk(tmp_path, monkeypatch):
    aside, path = tmp_path / "aside", tmp_path / "file"
    aside.write_text("new")
    path.write_text("old")
    seen, fsync = [], os.fsync

    def watch(descriptor):
        seen.append((os.readlink(f"/proc/self/fd/{descriptor}"), path.read_text()))
        fsync(descriptor)

    if os.path.exists("/proc/self/fd"):
        monkeypatch.setattr(os, "fsync", watch)
    durable.replace(str(aside), str(path))
    assert path.read_text() == "new"
    assert not aside.exists()
    assert seen in ([], [(str(aside), "old"), (str(tmp_path), "new")])


def test_what_is_not_there_is_an_error_and_the_old_file_stays(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(FileNotFoundError):
        durable.replace(str(tmp_path / "aside"), str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "old"


def test_what_fails_while_writing_is_said():
    sentence = "^The file could not be written: No space left. Free some space and start the same command again: so.$"
    for error in (OSError(28, "No space left"), tf.errors.UnknownError(None, None, "No space left\n[[node]]")):
        with pytest.raises(OSError, match=sentence), durable.writing("The file could not be written", ": so"):
            raise error


def test_files_and_folders_can_be_synced(tmp_path):
    (tmp_path / "file").write_text("a")
    durable.sync([str(tmp_path / "file"), str(tmp_path)])
    with pytest.raises(FileNotFoundError):
        durable.sync([str(tmp_path / "none")])
