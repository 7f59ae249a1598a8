"""The output folder: plan, shards and report. Each file appears whole, on a disk as in a store.

  OUTPUT/plan.json                                   what the run does
  OUTPUT/rows.parquet                                the image files, a row group for each part
  OUTPUT/detections/part-00017-of-00120.parquet      the shard of a part
  OUTPUT/report.json                                 the counts, at the end
"""
from __future__ import annotations

import contextlib
import io
import os
import re
import uuid
from collections.abc import Sequence

import pyarrow
from pyarrow import fs, parquet

from ornet_tf import atomic_write, file_lock, paths
from ornet_tf.bulk import locations
from ornet_tf.errors import UserError

PLAN, ROWS, DETECTIONS, REPORT = "plan.json", "rows.parquet", "detections", "report.json"
_ASIDE = "partial"  # files that are being written, each under a name of its own: two workers may write the same part
MOST_ATTEMPTS = 10  # of a part; the workers of the earlier ones have died, and perhaps the part kills them
_STORES = ("s3", "gcs", "abfs")  # they show an object when it is complete; elsewhere a file is renamed into place
_THEN = "; it does only what is missing"
_SHARD = re.compile(r"part-(\d{5,})-of-(\d{5,})\.parquet")


class OutputFolder:
    """A folder of this machine, or of a store; it can be sent to other processes."""

    def __init__(self, text: str):
        """Finds the folder that a path or a URI means; nothing is created.

        Raises:
          UserError: if it means none, or its name is no UTF-8.
          OSError: if its store can't be reached.
        """
        self._place = locations.locate(text, "--output")
        name = paths.readable(self._place.path)
        if name != self._place.path:  # pyarrow refuses it
            raise UserError(f"--output: expected a name in UTF-8, got {name!r}; name another folder.")
        self.text = self._place.uri()

    def __reduce__(self):
        return OutputFolder, (self.text,)

    def create(self) -> None:
        """Makes the folder.

        Raises:
          OSError: if it can't be made or written.
        """
        with atomic_write.explain_failures(f"--output: {self.text} could not be written"):
            for name in (DETECTIONS, _ASIDE):
                self._place.system.create_dir(self._place.child(name).path, recursive=True)

    def remove_partial(self) -> None:
        """Removes what an earlier run left half written, and the counts of attempts; call it inside `locked`.

        Raises:
          OSError: if that fails.
        """
        self._place.system.delete_dir_contents(self._place.child(_ASIDE).path)

    @contextlib.contextmanager
    def locked(self):
        """Keeps a second program out of a folder of this machine.

        Raises:
          UserError: if another program has it.
        """
        if not self._place.is_local:
            yield
            return
        with file_lock.locked_folder(self._place.path, self.text) as is_locked:
            if not is_locked:
                raise UserError(f"--output: another program writes to {self.text}; wait for it or name another folder.")
            yield

    def read(self, name: str) -> bytes | None:
        """Returns the content of a file, or None if it is not there.

        Raises:
          OSError: if it can't be read.
        """
        try:
            with self._place.system.open_input_stream(self._place.child(name).path, compression=None) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Writes a file, so that it is there whole or not at all.

        Raises:
          OSError: if that fails; an earlier file of the name stays.
        """
        target = self._place.child(name).path
        with atomic_write.explain_failures(f"{self._place.child(name).uri()} could not be written", _THEN):
            if self._place.system.type_name in _STORES:
                self._put(target, content)
                return
            aside = f"{self._place.child(_ASIDE).path}/{uuid.uuid4().hex}"
            try:
                self._put(aside, content)
                if self._place.is_local:
                    atomic_write.replace_file(aside, target)
                else:
                    self._place.system.move(aside, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._place.system.delete_file(aside)
                raise

    def _put(self, path: str, content: bytes | memoryview) -> None:
        with self._place.system.open_output_stream(path, compression=None) as stream:
            stream.write(content)

    def write_files(self, files: Sequence[str], part_size: int) -> None:
        """Writes the paths of image files, so that a worker reads those of its part only.

        Raises:
          OSError: if that fails.
        """
        table = pyarrow.table({"path": pyarrow.array(map(os.fsencode, files), pyarrow.binary())})
        content = io.BytesIO()
        parquet.write_table(table, content, row_group_size=part_size, compression="zstd")
        self.write(ROWS, content.getbuffer())

    def read_files(self, part: int) -> list[str]:
        """Returns the paths of the image files of a part.

        Raises:
          OSError: if they can't be read.
        """
        with self._place.system.open_input_file(self._place.child(ROWS).path) as file:
            column = parquet.ParquetFile(file).read_row_group(part).column("path")
        return [os.fsdecode(path) for path in column.to_pylist()]

    def write_shard(self, part: int, parts: int, table: pyarrow.Table) -> None:
        """Writes the shard of a part; an earlier one is replaced.

        Raises:
          OSError: if that fails.
        """
        content = io.BytesIO()
        parquet.write_table(table, content, compression="zstd")
        self.write(f"{DETECTIONS}/{shard_name(part, parts)}", content.getbuffer())

    def count_attempt(self, part: int) -> int:
        """Notes that a worker begins a part; returns how many have begun it in this run, `MOST_ATTEMPTS` + 1 at most.

        Raises:
          OSError: if that fails.
        """
        folder = self._place.child(_ASIDE)
        files = [folder.child(f"attempt-{part}-{number}") for number in range(1, MOST_ATTEMPTS + 1)]
        attempts = sum(size >= 0 for size in locations.sizes(self._place.system, [file.path for file in files]))
        if attempts < MOST_ATTEMPTS:
            with atomic_write.explain_failures(f"{files[attempts].uri()} could not be written", _THEN):
                self._put(files[attempts].path, b"")
        return attempts + 1

    def finished_parts(self, parts: int) -> set[int]:
        """Returns the numbers of the parts whose shards are there.

        Raises:
          UserError: if there are shards of another number of parts.
          OSError: if the folder can't be listed.
        """
        folder = fs.FileSelector(self._place.child(DETECTIONS).path, allow_not_found=True)
        found = [_SHARD.fullmatch(info.base_name) for info in self._place.system.get_file_info(folder)]
        for name in found:
            if name and int(name[2]) != parts:
                raise UserError(
                    f"--output: expected shards of {parts} parts in {self.text}, but found {name[0]}; name another "
                    "folder."
                )
        return {int(name[1]) for name in found if name}


def shard_name(part: int, parts: int) -> str:
    """Returns the name of the shard of a part, counted from 0."""
    return f"part-{part:05d}-of-{parts:05d}.parquet"
