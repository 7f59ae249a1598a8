"""The folder of a format: what is replaced, what is removed, and what a killed run leaves."""
import errno
import os
import shutil
import signal

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


@pytest.mark.usefixtures("interruptible")
def test_a_signal_while_files_are_moved_waits_until_all_are(tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(source, target):
        replace(source, target)
        if target.endswith("one.txt"):
            signal.raise_signal(signal.SIGINT)

    write(tmp_path, "old.txt")
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, "one.txt", "two.txt")
    assert names(tmp_path) == [".written", "one.txt", "two.txt"]
    assert not (tmp_path / ".partial").exists()


def test_a_folder_that_can_not_be_made_is_found_before_the_first_move(tmp_path, monkeypatch):
    makedirs = os.makedirs

    def full(path, **options):
        if path.endswith("out/b"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        makedirs(path, **options)

    write(tmp_path / "out", "old.txt")
    monkeypatch.setattr(os, "makedirs", full)
    with pytest.raises(OSError, match=r"out could not be written: No space left.* the same command again\.$"):
        write(tmp_path / "out", "a/one.txt", "b/two.txt")
    assert names(tmp_path / "out") == [".written", "old.txt"]


def test_two_programs_do_not_write_to_one_folder(tmp_path):
    with _output.writing(str(tmp_path)) as output:
        with output.open("one.txt") as file:
            file.write("one")
        with pytest.raises(UserError, match="is in use: another program writes there"):
            write(tmp_path, "two.txt")
    assert names(tmp_path) == [".written", "one.txt"]


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
    message = "could not be written: No space left.*; until then it has files of this run and of the one before"
    with monkeypatch.context() as patched, pytest.raises(OSError, match=message):
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
    (folder / ".written").write_text(f"file\t{listed}\nfile\tone.txt\none.txt\n")
    write(folder, "two.txt")
    assert names(tmp_path) == ["mine.txt", "out/.written", "out/two.txt"]


def test_a_place_that_is_taken_changes_nothing(tmp_path):
    write(tmp_path, "one.txt")
    (tmp_path / "two.txt").symlink_to("nowhere")
    with pytest.raises(UserError, match="two.txt is not a file of an earlier run"):
        write(tmp_path, "two.txt")
    assert names(tmp_path) == [".written", "one.txt", "two.txt"]


def link(folder, *targets):
    with _output.writing(str(folder)) as output:
        for target in targets:
            output.link(f"images/train/{target.name}", str(target))


@pytest.fixture(name="photos")
def _photos(tmp_path):
    photos = [tmp_path / "photos" / name for name in ("a.jpg", "b.jpg")]
    photos[0].parent.mkdir()
    for photo in photos:
        photo.write_text(photo.name)
    return photos


@pytest.mark.parametrize("level", ["images", "images/train"])
def test_a_folder_that_became_a_link_is_refused_as_it_leads_to_files_of_others(tmp_path, photos, level):
    out = tmp_path / "out"
    link(out, *photos)
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "train").symlink_to(photos[0].parent)
    shutil.rmtree(out / level)
    (out / level).symlink_to(tmp_path / "real" if level == "images" else photos[0].parent)
    with pytest.raises(UserError, match=f"{level} is not a folder but a link or a file, so nothing is written there; "):
        link(out, photos[0])
    with pytest.raises(UserError, match=f"{level} is not a folder but a link"):
        write(out, "other.txt")  # the names of the earlier run lead there too
    assert [photo.read_text() for photo in photos] == ["a.jpg", "b.jpg"] and not photos[0].is_symlink()


def test_links_that_became_files_are_neither_replaced_nor_removed(tmp_path, photos):
    out = tmp_path / "out"
    link(out, *photos)
    for photo in photos:
        copy = out / "images" / "train" / photo.name
        copy.unlink()
        copy.write_text("mine")
    with pytest.raises(UserError, match="a.jpg is not a file of an earlier run, so it is not replaced"):
        link(out, photos[0])
    write(out, "other.txt")
    assert names(out) == [".written", "images/train/a.jpg", "images/train/b.jpg", "other.txt"]
    assert (out / "images" / "train" / "a.jpg").read_text() == "mine"


def test_a_file_that_became_a_link_is_neither_replaced_nor_removed(tmp_path, photos):
    write(tmp_path / "out", "one.txt")
    (tmp_path / "out" / "one.txt").unlink()
    (tmp_path / "out" / "one.txt").symlink_to(photos[0])
    with pytest.raises(UserError, match="one.txt is not a file of an earlier run"):
        write(tmp_path / "out", "one.txt")
    write(tmp_path / "out", "two.txt")
    assert names(tmp_path / "out") == [".written", "one.txt", "two.txt"]


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


def test_stems_of_twins_with_long_names_are_shortened_by_bytes():
    stems, long = _output.Stems(), "deep/" + "é" * 125
    given = [stems.add(long + ending) for ending in (".jpg", ".png", ".gif")]
    assert given == [long, f"deep/{'é' * 67}_2", f"deep/{'é' * 67}_3"]
    assert stems.add(long[:-1] + ".jpg") == long[:-1]


@pytest.mark.parametrize("method", ["open", "link"])
def test_a_name_that_is_too_long_is_named(tmp_path, method):
    name = "images/" + "x" * 300
    message = f"but {name} is too long; rename the image"
    with pytest.raises(UserError, match=message), _output.writing(str(tmp_path)) as output:
        if method == "link":
            output.link(name, "a.jpg")
        with output.open(name):
            pass
    assert names(tmp_path) == []
