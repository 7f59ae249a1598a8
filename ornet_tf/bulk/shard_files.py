"""Opens shards, and tells damage of a shard, which stays, from a failure to read it, which may pass."""
from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pyarrow

from ornet_tf.bulk import locations

# What decoders raise: those of gzip, tar and Parquet. OSError is pyarrow's for codecs, and gzip's for a wrong checksum.
DAMAGE = (OSError, EOFError, zlib.error, tarfile.TarError, pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError)

_BUFFER_BYTES = 2**20


class Source(io.RawIOBase):
    """The bytes of a shard as they are stored. It remembers when they could not be read."""

    def __init__(self, file: pyarrow.NativeFile):
        super().__init__()
        self._file = file
        self._failure: OSError | None = None

    def raise_failure(self) -> None:
        """Does nothing if all bytes that were asked for were read: an error of a decoder is then damage.

        Raises:
          OSError: if the disk, the network or the store failed, whatever the decoder made of it.
        """
        if self._failure:
            raise self._failure

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns whether `seek` works."""
        return self._file.seekable()

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes, fewer only at the end."""
        return self._remember(self._file.read, None if size is None or size < 0 else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Sets the place of the next byte, and returns it."""
        return self._remember(self._file.seek, offset, whence)

    def tell(self) -> int:
        """Returns the place of the next byte."""
        return self._remember(self._file.tell)

    def _remember(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except OSError as error:
            self._failure = error
            raise
        except Exception as error:  # of a file system of fsspec
            self._failure = OSError(f"{type(error).__name__}: {error}")
            raise self._failure from error


@contextlib.contextmanager
def open_stream(path: str) -> Iterator[tuple[Source, BinaryIO]]:
    """Opens a shard to be read from its start to its end: what is stored, and what it holds if it is gzipped.

    Raises:
      OSError: if the disk, the network or the store fails.
    """
    place = locations.locate(path, "--input")
    with place.system.open_input_stream(place.path, compression=None, buffer_size=_BUFFER_BYTES) as file:
        source = Source(file)
        if is_gzipped(path):
            with gzip.GzipFile(fileobj=source, mode="rb") as content:
                yield source, content
        else:
            yield source, source


@contextlib.contextmanager
def open_file(path: str) -> Iterator[Source]:
    """Opens a shard to be read at any place.

    Raises:
      OSError: if the disk, the network or the store fails.
    """
    place = locations.locate(path, "--input")
    with place.system.open_input_file(place.path) as file:
        yield Source(file)


def is_gzipped(path: str) -> bool:
    """Returns whether the name of a shard says that it is gzipped."""
    return path.lower().endswith(".gz")
