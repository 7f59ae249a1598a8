import os

import pytest
import tensorflow as tf

from ornet_tf import event_files


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


def test_clear_removes_event_files_and_nothing_else(tmp_path):
    write(tmp_path / "below", [1])
    (tmp_path / "other").write_text("")
    event_files.clear(str(tmp_path))
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["below", "other"]
