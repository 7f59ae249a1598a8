import errno
import fcntl

from ornet_tf import file_lock


def test_a_lock_is_taken_once_and_ends_with_its_file(tmp_path):
    path = tmp_path / "lock"
    with open(path, "w") as first, open(path) as second:
        assert file_lock.take(first, "x") and not file_lock.take(second, "x")
    with open(path) as third:
        assert file_lock.take(third, "x")


def test_without_locks_a_warning_is_logged(tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with open(tmp_path / "lock", "w") as file:
        assert file_lock.take(file, "runs/a")
    assert "runs/a can't be locked ([Errno 37] No locks available). Make sure that only one program" in caplog.text


def test_a_folder_is_locked_once_and_keeps_its_content(tmp_path):
    with file_lock.locked_folder(tmp_path, "x") as first, file_lock.locked_folder(tmp_path, "x") as second:
        assert (first, second) == (True, False)
    with file_lock.locked_folder(tmp_path, "x") as third:
        assert third and not list(tmp_path.iterdir())
