import pyarrow
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import fs

from ornet_tf.bulk import fsspec_store


class BrokenError(Exception):
    """An error as a library below fsspec raises it."""


class Flaky(MemoryFileSystem):
    """A store in memory that fails for names with `broken`, and while it sends files with `cut`."""

    protocol = "flaky"
    cachable = False

    def info(self, path, **kwargs):
        if "broken" in path:
            raise BrokenError("no answer")
        return super().info(path, **kwargs)

    def _open(self, path, mode="rb", **kwargs):
        file = super()._open(path, mode, **kwargs)
        if "cut" in path and mode == "rb":
            return _Cut(file.getvalue())
        return file


class _Cut(pyarrow.BufferReader):
    def read(self, *_):
        raise BrokenError("the connection ended")


@pytest.fixture(name="system")
def _system():
    """The store, with a file in it."""
    store = Flaky()
    for name in ("/a/whole.png", "/a/cut.png"):
        store.pipe_file(name, b"content")
    yield fsspec_store.wrap(fs.PyFileSystem(fs.FSSpecHandler(store)))
    store.rm("/a", recursive=True)


def test_files_are_read_written_and_listed_as_before(system):
    with system.open_output_stream("/a/new.png") as file:
        file.write(b"abc")
    with system.open_input_stream("/a/new.png") as file:
        assert file.read() == b"abc"
    with system.open_input_file("/a/new.png") as file:
        assert (file.size(), file.read_at(2, 1)) == (3, b"bc")
    found = system.get_file_info(fs.FileSelector("/a", recursive=True))
    assert sorted(info.path for info in found) == ["/a/cut.png", "/a/new.png", "/a/whole.png"]
    system.move("/a/new.png", "/a/newer.png")
    system.delete_file("/a/newer.png")
    assert system.get_file_info("/a/newer.png").type == fs.FileType.NotFound


@pytest.mark.parametrize(
    "call",
    [
        lambda system: system.get_file_info("/a/broken.png"),
        lambda system: system.open_input_stream("/a/broken.png"),
        lambda system: system.open_input_file("/a/broken.png"),
        lambda system: system.get_file_info(fs.FileSelector("/broken", recursive=True)),
        lambda system: system.get_file_info(fs.FileSelector("/broken", allow_not_found=True)),
        lambda system: system.delete_file("/a/broken.png"),
    ],
)
def test_a_failure_is_neither_a_missing_file_nor_an_error_of_a_foreign_class(system, call):
    with pytest.raises(OSError, match="^BrokenError: no answer$") as caught:
        call(system)
    assert not isinstance(caught.value, FileNotFoundError)


def test_a_file_whose_end_does_not_come_is_an_os_error(system):
    file = system.open_input_stream("/a/cut.png")
    with pytest.raises(OSError, match="BrokenError: the connection ended"):
        file.read()


def test_missing_files_are_missing(system):
    assert system.get_file_info("/a/gone.png").type == fs.FileType.NotFound
    for call in (system.open_input_stream, system.open_input_file, system.delete_file):
        with pytest.raises(FileNotFoundError):
            call("/a/gone.png")
    with pytest.raises(FileNotFoundError):
        system.get_file_info(fs.FileSelector("/nowhere"))
    assert system.get_file_info(fs.FileSelector("/nowhere", allow_not_found=True)) == []


def test_other_file_systems_stay_as_they_are():
    local = fs.LocalFileSystem()
    assert fsspec_store.wrap(local) is local
