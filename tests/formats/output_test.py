"""The folder of a format: what is replaced, what is removed, and what a killed run leaves."""
import errno
import os

import pytest

from ornet_tf.errors import UserError
from ornet_tf.formats import _output


def write(folder, *names, then=None):
    with _output.writing(str(folder)) as output:
        for name in names:
            with output.open(name) as file:
                file.write(name)
        if then:
            raise then


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def test_files_without_a_successor_go_and_so_do_their_empty_folders(tmp_path):
    write(tmp_path, "a/b/one.txt", "a/two.txt", "c/three.txt")
    (tmp_path / "c" / "mine.txt").write_text("mine")
    write(tmp_path, "four.txt")
    assert names(tmp_path) == [".written", "c/mine.txt", "four.txt"]
    assert not (tmp_path / "a").exists()


def test_the_list_of_a_killed_run_is_removed_with_the_next_one(tmp_path):
    (tmp_path / ".partial" / "a").mkdir(parents=True)
    (tmp_path / ".partial" / "a" / "half.txt").write_text("ha")
    write(tmp_path, "one.txt")
    assert names(tmp_path) == [".written", "one.txt"]


def test_a_run_that_is_killed_between_its_moves_is_cleaned_up_by_the_next_one(tmp_path, monkeypatch):
    replace, moved = os.replace, []

    def replace_two(source, target):
        if ".partial" in source and ".written" not in target:
            if len(moved) == 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            moved.append(target)
        replace(source, target)

    write(tmp_path, "old.txt", "one.txt")
    with monkeypatch.context() as patched, pytest.raises(OSError, match="could not be written: No space left"):
        patched.setattr(os, "replace", replace_two)
        write(tmp_path, "one.txt", "two.txt", "three.txt")
    assert names(tmp_path) == [".written", "old.txt", "one.txt", "two.txt"]
    write(tmp_path, "four.txt")
    assert names(tmp_path) == [".written", "four.txt"]


@pytest.mark.parametrize("listed", ["../mine.txt", "/etc/mine.txt", "a/../../mine.txt", ".written", ""])
def test_a_list_that_names_other_places_removes_nothing(tmp_path, listed):
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    (folder / ".written").write_text(f"{listed}\none.txt\n")
    write(folder, "two.txt")
    assert names(tmp_path) == ["mine.txt", "out/.written", "out/two.txt"]


def test_a_place_that_is_taken_changes_nothing(tmp_path):
    write(tmp_path, "one.txt")
    (tmp_path / "two.txt").symlink_to("nowhere")
    with pytest.raises(UserError, match="two.txt is not a file of an earlier run"):
        write(tmp_path, "two.txt")
    assert names(tmp_path) == [".written", "one.txt", "two.txt"]


def test_a_link_leads_to_the_file_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image.jpg").write_text("pixels")
    with _output.writing("out") as output:
        output.link("images/1.jpg", "image.jpg")
    monkeypatch.chdir("/")
    assert (tmp_path / "out" / "images" / "1.jpg").read_text() == "pixels"
    with _output.writing(str(tmp_path / "out")):
        pass
    assert (tmp_path / "image.jpg").exists() and names(tmp_path / "out") == [".written"]


def test_a_folder_that_can_not_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file could not be written: File exists\. Something else has that name"):
        write(tmp_path / "file", "one.txt")


def test_stems_are_free_whatever_the_case():
    stems = _output.Stems()
    given = ["a.jpg", "a.png", "A.gif", "a_2.jpg", "b/a.jpg", "archive.tar.gz"]
    assert [stems.add(name) for name in given] == ["a", "a_2", "A_3", "a_2_2", "b/a", "archive.tar"]
