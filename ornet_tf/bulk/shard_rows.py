"""Rows of input: their type, and those of Parquet files with the bytes of images."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow
from pyarrow import parquet

from ornet_tf.bulk import inputs, locations, statuses
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


def no_field(path: str, field: str, present: Sequence[str]) -> UserError:
    """Returns the error about shards without the named field, or without any that may hold an image."""
    expected = f"the field {field!r}" if field else f"one of the fields {', '.join(IMAGE_FIELDS)}"
    return UserError(
        f"Expected {expected} in {path}, but it has {', '.join(present) or 'none'}; name one by --image_field or "
        "--key_field."
    )


def read_parquet(part: inputs.Part, fields: Fields) -> Iterator[Row]:
    """Yields the rows of some row groups of a Parquet file.

    A column of images holds bytes, or structures with the field `bytes` and perhaps `path`, as Hugging Face writes
    them. A row is named by the key column, by that `path`, or by its number within the file.

    Raises:
      OSError: if the disk, the network or the store fails.
      UserError: if the file lacks the column.
    """
    place = locations.locate(part.path, "--input")
    with place.system.open_input_file(place.path) as source:
        file = parquet.ParquetFile(source, buffer_size=_BUFFER_BYTES)
        image = _image_column(part.path, file.schema_arrow, fields.image)
        if fields.key and fields.key not in file.schema_arrow.names:
            raise no_field(part.path, fields.key, file.schema_arrow.names)
        number = sum(file.metadata.row_group(group).num_rows for group in range(part.first))
        columns = [image, *([fields.key] if fields.key else [])]
        groups = list(range(part.first, part.first + part.groups))
        read = 0
        try:
            for batch in file.iter_batches(_READ_AHEAD_ROWS, row_groups=groups, columns=columns, use_threads=False):
                yield from _rows_of(batch, part.path, image, fields.key, number + read)
                read += batch.num_rows
        except (pyarrow.ArrowInvalid, OSError) as error:
            if isinstance(error, OSError) and not _is_damage(error):
                raise
            # The footer says how many rows there are.
            for i in range(read, part.rows):
                yield Row(part.path, str(number + i), None, statuses.DAMAGED_SHARD, "the Parquet file is damaged")


def _is_damage(error: OSError) -> bool:
    """Returns whether it is about the content of the file; pyarrow's own errors have no number."""
    words = ("Corrupt", "deserialize", "decompress", "Unexpected end")
    return error.errno is None and any(word in str(error) for word in words)


def _image_column(path: str, schema: pyarrow.Schema, name: str) -> str:
    if name:
        if name not in schema.names:
            raise no_field(path, name, schema.names)
        return name
    known = [field for field in IMAGE_FIELDS if field in schema.names]
    binary = [field.name for field in schema if pyarrow.types.is_binary(field.type)]
    if known or len(binary) == 1:
        return (known or binary)[0]
    raise no_field(path, "", schema.names)


def _rows_of(batch: pyarrow.RecordBatch, path: str, image: str, key: str, first: int) -> Iterator[Row]:
    images = batch.column(image).to_pylist()
    keys = batch.column(key).to_pylist() if key else [None] * len(images)
    for number, (content, name) in enumerate(zip(images, keys), first):
        if isinstance(content, dict):
            name = name or content.get("path")
            content = content.get("bytes")
        name = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(number if name is None else name)
        if not isinstance(content, bytes):
            yield Row(path, name, None, statuses.MISSING, NO_IMAGE)
        else:
            yield Row(path, name, content)
