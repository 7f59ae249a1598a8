"""Rows of input: their type, and those of Parquet files with the bytes of images."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow
import pyarrow.compute
from pyarrow import parquet, types

from ornet_tf.bulk import inputs, shard_files, statuses
from ornet_tf.data import MAX_BYTES
from ornet_tf.errors import UserError

# The fields that hold an image if none is named: those of Hugging Face, img2dataset and TensorFlow's examples.
IMAGE_FIELDS = ("image", "jpg", "jpeg", "png", "bytes", "image_bytes", "image/encoded")
NO_IMAGE = "no image in this row"
_READ_AHEAD_ROWS = 16
_BUFFER_BYTES = 2**20


class Row(NamedTuple):
    """One row of the input.

    Attributes:
      path: of the image file, or of the shard.
      key: the path again, or what names the image within the shard.
      content: the bytes of the image file; None if there are none.
      status: `statuses.OK`, or why there are none.
      reason: the same in a few words; "" if there are bytes.
    """

    path: str
    key: str
    content: bytes | None
    status: str = statuses.OK
    reason: str = ""


class Fields(NamedTuple):
    """Which fields of a shard's rows hold what.

    Attributes:
      image: the column, feature or file ending with the bytes of the image; "" finds one of `IMAGE_FIELDS`.
      key: the column or feature that names the image; "" takes the number of the row, or what the format offers.
      max_bytes: of an image; larger ones are not read where that can be seen before.
    """

    image: str = ""
    key: str = ""
    max_bytes: int = MAX_BYTES


def too_large(path: str, key: str, size: int, max_bytes: int) -> Row:
    """Returns the row of an image of too many bytes, with the reason that an export would give."""
    return Row(path, key, None, statuses.TOO_LARGE, f"{size} bytes; at most {max_bytes} are read")


def no_field(path: str, field: str, present: Sequence[str], known: Sequence[str] = IMAGE_FIELDS) -> UserError:
    """Returns the error about shards without the named field, or without any known one that may hold an image."""
    expected = f"the field {field!r}" if field else f"one of the fields {', '.join(known)}"
    return UserError(
        f"Expected {expected} in {path}, but it has {', '.join(present) or 'none'}; name one by --image_field or "
        "--key_field."
    )


def read_parquet(part: inputs.Part, fields: Fields) -> Iterator[Row]:
    """Yields the rows of some row groups of a Parquet file.

    A column of images holds bytes, or structures with the field `bytes` and perhaps `path`, as Hugging Face writes
    them. A row is named by the key column, by that `path`, or by its number within the file. Damage costs the rows of
    its row group from the damaged page on.

    Raises:
      OSError: if the disk, the network or the store fails, or the file has changed since the parts were made.
      UserError: if the file lacks the column, or it holds no bytes.
    """
    with shard_files.open_file(part.path) as source:
        try:
            file = parquet.ParquetFile(source, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)
        except shard_files.DAMAGE as error:
            source.raise_failure()
            raise OSError(f"{part.path} was a Parquet file when the run began, and is none now: {error}") from error
        if file.num_row_groups < part.first + part.groups:
            raise OSError(f"{part.path} had at least {part.first + part.groups} row groups when the run began, and now "
                          f"has {file.num_row_groups}.")  # fmt: skip
        image = _image_column(part.path, file.schema_arrow, fields.image)
        if fields.key and fields.key not in file.schema_arrow.names:
            raise no_field(part.path, fields.key, file.schema_arrow.names)
        first = sum(file.metadata.row_group(group).num_rows for group in range(part.first))
        for group in range(part.first, part.first + part.groups):
            yield from _read_group(_Group(source, file, group, part.path, image, fields.key, first))
            first += file.metadata.row_group(group).num_rows


class _Group(NamedTuple):
    """A row group, the columns that are read, and the number of its first row within the file."""

    source: shard_files.Source
    file: parquet.ParquetFile
    number: int
    path: str
    image: str
    key: str
    first: int


def _read_group(group: _Group) -> Iterator[Row]:
    read = 0
    columns = [group.image, *([group.key] if group.key else [])]
    for batch_rows in (_READ_AHEAD_ROWS, 1):  # after damage again, for the rows of a batch that stand before it
        place = 0
        try:
            for batch in group.file.iter_batches(
                batch_rows, row_groups=[group.number], columns=columns, use_threads=False
            ):
                place += batch.num_rows
                if place > read:
                    yield from _rows_of(batch, group, read)
                    read = place
            break
        except shard_files.DAMAGE:
            group.source.raise_failure()
    count = group.file.metadata.row_group(group.number).num_rows
    if read < count:
        for name in _names_without_images(group, count)[read:]:
            yield Row(group.path, name, None, statuses.DAMAGED_SHARD, "the Parquet file is damaged")


def _image_column(path: str, schema: pyarrow.Schema, name: str) -> str:
    if name:
        if name not in schema.names:
            raise no_field(path, name, schema.names)
        kind = schema.field(name).type
        if not _holds_images(kind):
            raise UserError(
                f"Expected bytes, or structures with the field 'bytes', in the column {name!r} of {path}, but it holds "
                f"{kind}; name the column with the content of image files by --image_field."
            )
        return name
    suitable = [field.name for field in schema if _holds_images(field.type)]
    known = [field for field in IMAGE_FIELDS if field in suitable]
    if known or len(suitable) == 1:
        return (known or suitable)[0]
    raise no_field(path, "", [f"{field.name} of {field.type}" for field in schema])


def _holds_images(kind: pyarrow.DataType) -> bool:
    if types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_binary(kind.field(place).type)
    return _is_binary(kind)


def _is_binary(kind: pyarrow.DataType) -> bool:
    if types.is_dictionary(kind):
        return _is_binary(kind.value_type)
    tests = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(test(kind) for test in tests)


def _rows_of(batch: pyarrow.RecordBatch, group: _Group, read: int) -> Iterator[Row]:
    images = batch.column(group.image)
    if types.is_struct(images.type):
        images = pyarrow.compute.struct_field(images, "bytes")
    for name, content in zip(_names(batch, group, read), images.to_pylist()):
        if content is None:
            yield Row(group.path, name, None, statuses.MISSING, NO_IMAGE)
        else:
            yield Row(group.path, name, content)


def _names_without_images(group: _Group, count: int) -> list[str]:
    """Returns the names of the rows of a damaged row group: their numbers if the names are damaged, too."""
    kind = group.file.schema_arrow.field(group.image).type
    has_path = types.is_struct(kind) and kind.get_field_index("path") >= 0
    columns = [*([group.key] if group.key else []), *([f"{group.image}.path"] if has_path else [])]
    if columns:
        try:
            table = group.file.read_row_group(group.number, columns, use_threads=False)
            if table.num_rows == count:
                return _names(table, group, 0)
        except shard_files.DAMAGE:
            group.source.raise_failure()
    return [str(group.first + place) for place in range(count)]


def _names(columns: pyarrow.RecordBatch | pyarrow.Table, group: _Group, read: int) -> list[str]:
    names: list[Any] = [None] * columns.num_rows
    images = columns.column(group.image) if group.image in columns.schema.names else None
    if images is not None and types.is_struct(images.type) and images.type.get_field_index("path") >= 0:
        names = [path or None for path in _values(pyarrow.compute.struct_field(images, "path"))]
    if group.key:
        names = [path if key is None else key for key, path in zip(_values(columns.column(group.key)), names)]
    numbered = enumerate(names, group.first + read)
    return [
        name.decode("utf-8", "replace") if isinstance(name, bytes) else str(number if name is None else name)
        for number, name in numbered
    ]


def _values(column: pyarrow.Array | pyarrow.ChunkedArray) -> list[Any]:
    """Returns the values of a column; texts as bytes, since damaged ones may not be UTF-8."""
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_string(column.type) or types.is_large_string(column.type):
        column = column.cast(pyarrow.large_binary())
    return column.to_pylist()
