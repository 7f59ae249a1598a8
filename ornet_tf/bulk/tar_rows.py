"""Rows of WebDataset shards: a tar file whose members with one name up to the first dot are one sample."""
from __future__ import annotations

import tarfile
from collections.abc import Iterator

from ornet_tf import paths
from ornet_tf.bulk import inputs, shard_files, shard_rows, statuses
from ornet_tf.bulk.shard_rows import Row

_ENDINGS = ("jpg", "jpeg", "png")
_BLOCK_BYTES = 2**20


class _Member(tarfile.TarInfo):
    """A member whose header must be whole: tarfile takes a damaged one, or the end of the file, for the last."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Reads the next header."""
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # the block of zeros at the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def read(part: inputs.Part, fields: shard_rows.Fields) -> Iterator[Row]:
    """Yields the images of a shard; the key is that of WebDataset: folder and name up to the first dot.

    Images are the members that end in `fields.image`, such as "image.png"; without it in jpg, jpeg or png. Capitals
    do not matter. The last row says so if the shard is damaged. Of a gzipped shard, rows before it may be damaged, too:
    its checksum stands at its end.

    Raises:
      OSError: if the disk, the network or the store fails.
      UserError: if no member has such an ending.
    """
    endings = (fields.image.lstrip(".").lower(),) if fields.image else _ENDINGS
    others: set[str] = set()
    count = 0
    with shard_files.open_stream(part.path) as (source, content):
        try:
            with tarfile.open(fileobj=content, mode="r|", tarinfo=_Member) as archive:
                for member in archive:
                    folder, slash, name = member.name.rpartition("/")
                    stem, _, ending = name.partition(".")
                    ending = ending.lower()
                    if not member.isfile() or ending not in endings:
                        others.add(ending)
                        continue
                    count += 1
                    key = paths.readable(folder + slash + stem)
                    if member.size > fields.max_bytes:
                        yield shard_rows.too_large(part.path, key, member.size, fields.max_bytes)
                    else:
                        yield Row(part.path, key, archive.extractfile(member).read())
            if shard_files.is_gzipped(part.path):
                while content.read(_BLOCK_BYTES):  # the checksum of all bytes stands at the end
                    pass
        except shard_files.DAMAGE as error:
            source.raise_failure()
            yield Row(part.path, "", None, statuses.DAMAGED_SHARD, f"the tar file is damaged: {error}")
            return
    if not count and others:
        raise shard_rows.no_field(part.path, fields.image, sorted(others), _ENDINGS)
