import os
import re
import subprocess
import sys
import textwrap

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import io_wrapper

from ornet_tf.training import event_files


def write(folder, steps):
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("a", step / 2, step=step)
            tf.summary.text("b", f"text {step}", step=step)
    writer.close()


def only(folder):
    path, = folder.iterdir()
    return path


def interrupt(*_):
    raise KeyboardInterrupt


def test_series_are_read_back(tmp_path):
    write(tmp_path, [1, 3])
    assert event_files.scalars(str(tmp_path)) == {"a": [(1, 0.5), (3, 1.5)]}
    digests = event_files.digests(str(tmp_path))
    assert [step for step, _ in digests["b"]] == [1, 3]
    assert digests["b"][0][1] != digests["b"][1][1]
    assert event_files.scalars(str(tmp_path / "none")) == {}


def test_later_steps_are_cut_and_earlier_ones_keep_their_bytes(tmp_path):
    write(tmp_path / "long", range(1, 10))
    write(tmp_path / "short", range(1, 6))
    event_files.cut(str(tmp_path / "long"), 5)
    assert event_files.digests(str(tmp_path / "long")) == event_files.digests(str(tmp_path / "short"))
    assert os.path.getsize(only(tmp_path / "long")) == os.path.getsize(only(tmp_path / "short"))


def test_a_file_in_which_nothing_has_to_go_is_left_alone(tmp_path):
    write(tmp_path, range(1, 5))
    before = os.stat(only(tmp_path))
    event_files.cut(str(tmp_path), 4)
    after = os.stat(only(tmp_path))
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("lost", [1, 11, 30])
def test_half_a_record_goes(tmp_path, lost):
    write(tmp_path, range(1, 5))
    path = only(tmp_path)
    path.write_bytes(path.read_bytes()[:-lost])
    before = event_files.digests(str(tmp_path))
    event_files.cut(str(tmp_path), 100)
    assert event_files.digests(str(tmp_path)) == before
    size = os.path.getsize(path)
    event_files.cut(str(tmp_path), 100)
    assert os.path.getsize(path) == size


def test_a_file_that_cannot_be_cut_stays_as_it_was(tmp_path):
    write(tmp_path, range(1, 40))
    before = only(tmp_path).read_bytes()
    # A process of its own: the limit would also hold for the file that this one may be writing its output to.
    program = f"""
        import resource, signal
        from ornet_tf import event_files
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for size in 0, 1000, 2500:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            try:
                event_files.cut({str(tmp_path)!r}, 38)
            except OSError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120, capture_output=True, text=True
    )
    assert [re.search("could not be rewritten: .* Raise the limit of file sizes", line) is not None
            for line in done.stdout.splitlines()] == [True] * 3
    assert only(tmp_path).read_bytes() == before


def test_tensorboard_does_not_read_what_is_written_aside(tmp_path, monkeypatch):
    write(tmp_path, range(1, 5))
    name = only(tmp_path).name
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        event_files.cut(str(tmp_path), 3)
    monkeypatch.undo()
    aside, = {path.name for path in tmp_path.iterdir()} - {name}
    assert io_wrapper.IsSummaryEventsFile(name)
    assert not io_wrapper.IsSummaryEventsFile(aside)
    event_files.cut(str(tmp_path), 3)
    assert only(tmp_path).name == name
    assert event_files.scalars(str(tmp_path))["a"][-1] == (3, 1.5)


def test_what_is_written_next_sorts_behind_files_of_a_clock_that_was_ahead(tmp_path):
    for steps, stamp in ((range(1, 5), "4000000000"), (range(4, 7), "4000000001")):
        write(tmp_path / "new", steps)
        name = only(tmp_path / "new").name
        os.renames(tmp_path / "new" / name, tmp_path / "all" / f"events.out.tfevents.{stamp}.{name[31:]}")
    for first_step in (3, 3, 4):
        event_files.cut(str(tmp_path / "all"), first_step)
        event_files.date_back(str(tmp_path / "all"))
        write(tmp_path / "all", [first_step + 1])
    found = event_files.scalars(str(tmp_path / "all"))
    assert found == {"a": [(step, step / 2) for step in range(1, 6)]}


def test_clear_removes_event_files_and_nothing_else(tmp_path):
    write(tmp_path / "below", [1])
    (tmp_path / "other").write_text("")
    event_files.clear(str(tmp_path))
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["below", "other"]
