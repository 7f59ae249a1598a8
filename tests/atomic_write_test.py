import errno
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf import atomic_write
from ornet_tf.data import image_cache
from ornet_tf.data.source import Source
from ornet_tf.datasets import _unpacked, fgvc_aircraft, toybirds
from ornet_tf.inference import prediction_files, saved_model
from ornet_tf.runs import run_folder
from ornet_tf.training import weights_file
from tests import broken_files


def test_a_file_replaces_another_one_after_it_is_flushed_to_disk(tmp_path, monkeypatch):
    aside, path = tmp_path / "aside", tmp_path / "file"
    aside.write_text("new")
    path.write_text("old")
    synced, fsync = [], os.fsync

    def watch(descriptor):
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), path.read_text()))
        fsync(descriptor)

    if os.path.exists("/proc/self/fd"):
        monkeypatch.setattr(os, "fsync", watch)
    atomic_write.replace_file(str(aside), str(path))
    assert path.read_text() == "new"
    assert not aside.exists()
    assert synced in ([], [(str(aside), "old"), (str(tmp_path), "new")])


def test_if_the_new_file_is_missing_the_old_file_stays(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(FileNotFoundError):
        atomic_write.replace_file(str(tmp_path / "aside"), str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "old"


def test_a_failed_write_is_explained():
    message = "^Failed: No space left on device. Free some space and start the same command again: so.$"
    text = os.strerror(errno.ENOSPC)
    for error in (OSError(errno.ENOSPC, text), tf.errors.UnknownError(None, None, f"{text}\n[[node]]")):
        with pytest.raises(OSError, match=message), atomic_write.explain_failures("Failed", ": so"):
            raise error


def test_an_error_without_errno_keeps_its_message():
    with pytest.raises(OSError, match="^It failed: no luck[.]"), atomic_write.explain_failures("It failed"):
        raise OSError("no luck")


def failure(write, *arguments):
    """Returns the message of a failed write."""
    with pytest.raises(OSError) as caught, atomic_write.explain_failures("It failed"):
        write(*arguments)
    return str(caught.value)


def write_by_tensorflow(path):
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"a" * 100000)


@pytest.mark.parametrize("write", [lambda path: path.write_bytes(b"a" * 100000), write_by_tensorflow])
def test_the_advice_fits_the_error(tmp_path, write):
    (tmp_path / "file").write_text("")
    removed = "Its folder was removed or is a file"
    assert removed in failure(write, tmp_path / "gone" / "a")
    assert removed in failure(write, tmp_path / "file" / "a")
    assert "Something else has that name" in failure(write, tmp_path)
    assert "Choose a shorter path" in failure(write, tmp_path / ("a" * 300))
    if os.path.exists("/dev/full"):
        assert "No space left on device. Free some space and start" in failure(write, pathlib.Path("/dev/full"))


@pytest.mark.parametrize(
    ("before", "advice"),
    [
        ("os.chmod(folder, 0o500); os.geteuid() or os.setuid(65534)", "Make it writable for this user"),
        ("resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))", r"Raise the limit of file sizes \(ulimit -f\)"),
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))", r"Raise the limit of open files \(ulimit -n\)"),
    ],
)
def test_the_advice_fits_permissions_and_limits(tmp_path, before, advice):
    program = f"""
        import os, resource, signal
        from ornet_tf import atomic_write
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        folder = {str(tmp_path)!r}
        {before}
        try:
            with atomic_write.open_file(os.path.join(folder, "a")) as file:
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
        (tf.errors.PermissionDeniedError, "Make it writable"),
        (tf.errors.ResourceExhaustedError, "Free some space"),
        (tf.errors.FailedPreconditionError, "Its folder was removed or is a file"),
        (tf.errors.DataLossError, "The disk or the connection to it fails"),
        (tf.errors.InternalError, "Fix that or choose another place"),
    ],
)
def test_a_tensorflow_error_without_the_message_of_the_system_has_advice_by_its_class(error, advice):
    assert atomic_write.advice(error(None, None, "something")).startswith(advice)


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file"
    with atomic_write.open_file(path) as file:
        file.write(b"one")
    with pytest.raises(RuntimeError), atomic_write.open_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"one" and os.listdir(path.parent) == ["file"]
    if os.path.exists("/dev/full"):
        (path.parent / "file.partial").symlink_to("/dev/full")
        message = "file could not be written: No space left on device. Free some space"
        with pytest.raises(OSError, match=message), atomic_write.open_file(path) as file:
            file.write(b"two")
        assert path.read_bytes() == b"one" and os.listdir(path.parent) == ["file"]


def test_files_and_folders_can_be_flushed(tmp_path):
    (tmp_path / "file").write_text("a")
    atomic_write.flush_to_disk([str(tmp_path / "file"), str(tmp_path)])
    with pytest.raises(FileNotFoundError):
        atomic_write.flush_to_disk([str(tmp_path / "none")])


@pytest.fixture(name="calls")
def _calls(monkeypatch):
    """The calls of fsync and rename, in order."""
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("needs /proc/self/fd to find the file of a descriptor")
    calls, fsync = [], os.fsync

    def watch(descriptor):
        calls.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def watched(rename):
        def watch(source, target):
            held = [str(path) for path in pathlib.Path(source).rglob("*")]
            rename(source, target)
            calls.append(("rename", str(source), str(target), [str(source), *held]))

        return watch

    monkeypatch.setattr(os, "fsync", watch)
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    return calls


def expect_durable(calls, path):
    """Expects that all files renamed to `path` were flushed before, and the folder of `path` afterwards."""
    (at,) = (i for i, call in enumerate(calls) if call[0] == "rename" and call[2] == str(path))
    before = {call[1] for call in calls[:at] if call[0] == "sync"}
    assert not set(calls[at][3]) - before
    assert ("sync", os.path.dirname(path)) in calls[at + 1 :]


def test_a_folder_is_renamed_after_all_of_it_is_flushed(tmp_path, calls):
    aside = tmp_path / "aside"
    (aside / "inner" / "empty").mkdir(parents=True)
    for name in ("a", "inner/b"):
        (aside / name).write_text(name)
    (aside / "link").symlink_to("nowhere")
    atomic_write.place_folder(str(aside), str(tmp_path / "1"))
    assert (tmp_path / "1" / "inner" / "b").read_text() == "inner/b" and not aside.exists()
    synced = [call[1] for call in calls if call[0] == "sync"]
    assert synced == [str(aside / n) for n in ("inner/empty", "inner/b", "inner", "a")] + [str(aside), str(tmp_path)]
    assert calls[-2][:3] == ("rename", str(aside), str(tmp_path / "1"))
    aside.mkdir()
    with pytest.raises(OSError, match="not empty"):
        atomic_write.place_folder(str(aside), str(tmp_path / "1"))
    assert (tmp_path / "1" / "a").exists()


@pytest.mark.slow
def test_exports_are_durable_and_old_ones_are_renamed_before_they_are_removed(tiny_run, tmp_path, calls):
    config, workdir = tiny_run
    shutil.copytree(workdir, tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    (tmp_path / "run" / "export" / "1").mkdir(parents=True)
    calls.clear()
    path = saved_model.export(config, str(tmp_path / "run"), keep=1)
    expect_durable(calls, path)
    number = next(i for i, call in enumerate(calls) if call[1].endswith("/export/1"))
    removed = os.path.dirname(calls[number][2])
    assert calls[number + 1 :] == [("sync", removed), ("sync", os.path.dirname(path))]


def test_packed_and_unpacked_weights_are_durable(tiny_run, tmp_path, calls):
    config, workdir = tiny_run
    weights_file.pack(config, workdir, str(tmp_path / "run.npz"))
    expect_durable(calls, tmp_path / "run.npz")
    weights_file.unpack(config, str(tmp_path / "run"), str(tmp_path / "run.npz"))
    expect_durable(calls, tmp_path / "run")


def test_files_made_from_data_sets_are_durable(tmp_path, calls):
    image = broken_files.encode(Image.new("RGB", (30, 40)), "JPEG")
    example = (image, 0, np.zeros([0, 4], np.float32))
    _unpacked.write([example], tmp_path / "unpacked", class_names=["a"], what="x")
    expect_durable(calls, tmp_path / "unpacked")
    toybirds.load("test", image_size=32, num_classes=3, test_count=3, cache_dir=tmp_path)
    (cache,) = tmp_path.glob("toybirds-*.npz")
    expect_durable(calls, cache)
    (tmp_path / "a.jpg").write_bytes(image)
    fgvc_aircraft._cut_banner(str(tmp_path / "a.jpg"), str(tmp_path / "copy.jpg"))
    expect_durable(calls, tmp_path / "copy.jpg")
    source = Source(["a"], [image], ["a"], np.zeros(1, np.int32), None)
    held = image_cache.open_cache(source, side=8, kind="disk", folder=str(tmp_path))
    assert held(0).shape == (8, 8, 3)
    (cache,) = tmp_path.glob("images-8-*.rgb")
    expect_durable(calls, cache)


def test_files_of_a_run_and_predictions_are_durable(tmp_path, calls):
    run_folder.write_json(str(tmp_path / "a.json"), 1)
    expect_durable(calls, tmp_path / "a.json")
    with prediction_files.writing(str(tmp_path)) as predictions:
        predictions.add("a.jpg", {}, b"a JPEG")
    expect_durable(calls, tmp_path / "predictions.json")
    expect_durable(calls, tmp_path / "index.html")
