import errno
import os
import pathlib
import re
import subprocess
import sys
import textwrap

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
    sentence = "^Failed: No space left on device. Free some space and start the same command again: so.$"
    said = os.strerror(errno.ENOSPC)
    for error in (OSError(errno.ENOSPC, said), tf.errors.UnknownError(None, None, f"{said}\n[[node]]")):
        with pytest.raises(OSError, match=sentence), durable.writing("Failed", ": so"):
            raise error


def test_an_error_without_a_number_is_said_as_it_is():
    sentence = "^It failed: no luck. Mend that or choose another place and start the same command again.$"
    with pytest.raises(OSError, match=sentence), durable.writing("It failed"):
        raise OSError("no luck")


def message(write, *arguments):
    """Returns the sentence of a write that fails."""
    with pytest.raises(OSError) as caught, durable.writing("It failed"):
        write(*arguments)
    return str(caught.value)


def of_tensorflow(path):
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"a" * 100000)


@pytest.mark.parametrize("write", [lambda path: path.write_bytes(b"a" * 100000), of_tensorflow])
def test_the_advice_follows_what_is_wrong(tmp_path, write):
    (tmp_path / "file").write_text("")
    removed = "Its folder was removed, or is a file: bring it back or choose another one and start"
    assert removed in message(write, tmp_path / "gone" / "a")
    assert removed in message(write, tmp_path / "file" / "a")
    assert "Something is in the way, there or in the place of its folder: move it" in message(write, tmp_path)
    assert "Choose a shorter path" in message(write, tmp_path / ("a" * 300))
    if os.path.exists("/dev/full"):
        assert "No space left on device. Free some space and start" in message(write, pathlib.Path("/dev/full"))


@pytest.mark.parametrize(
    ("before", "advice"),
    [
        ("os.chmod(folder, 0o500); os.geteuid() or os.setuid(65534)", "Make the place writable for this user"),
        ("resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))", r"Raise the limit of file sizes \(ulimit -f\)"),
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))", r"Raise the limit of open files \(ulimit -n\)"),
    ],
)
def test_the_advice_follows_rights_and_limits(tmp_path, before, advice):
    program = f"""
        import os, resource, signal
        from ornet_tf import durable
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        folder = {str(tmp_path)!r}
        {before}
        try:
            with durable.whole(os.path.join(folder, "a")) as file:
                file.write(b"a" * 1000)
        except OSError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120, capture_output=True, text=True
    )
    assert re.search(advice, done.stdout), done.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (tf.errors.NotFoundError, "Its folder was removed"),
        (tf.errors.PermissionDeniedError, "Make the place writable"),
        (tf.errors.ResourceExhaustedError, "Free some space"),
        (tf.errors.FailedPreconditionError, "Its folder was removed, or is a file"),
        (tf.errors.DataLossError, "The disk or the way to it fails"),
        (tf.errors.InternalError, "Mend that or choose another place"),
    ],
)
def test_an_error_of_tensorflow_that_does_not_say_what_the_system_said_has_advice_by_its_kind(error, advice):
    assert durable.advice(error(None, None, "something")).startswith(advice)


def test_a_whole_file_takes_the_place_of_another_one_or_leaves_it(tmp_path):
    path = tmp_path / "new" / "file"
    with durable.whole(path) as file:
        file.write(b"one")
    with pytest.raises(RuntimeError), durable.whole(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"one" and os.listdir(path.parent) == ["file"]
    if os.path.exists("/dev/full"):
        (path.parent / "file.partial").symlink_to("/dev/full")
        sentence = "file could not be written: No space left on device. Free some space"
        with pytest.raises(OSError, match=sentence), durable.whole(path) as file:
            file.write(b"two")
        assert path.read_bytes() == b"one" and os.listdir(path.parent) == ["file"]


def test_files_and_folders_can_be_synced(tmp_path):
    (tmp_path / "file").write_text("a")
    durable.sync([str(tmp_path / "file"), str(tmp_path)])
    with pytest.raises(FileNotFoundError):
        durable.sync([str(tmp_path / "none")])
