"""Rows of TFRecord shards with tf.train.Example messages, also gzipped ones. Only reading them imports TensorFlow."""
from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from ornet_tf.bulk import crc32c, inputs, shard_files, shard_rows, statuses
from ornet_tf.bulk.shard_rows import Row

_OTHER_BYTES = 64 * 2**20  # of a record beside the image; a larger record is not read
_BLOCK_BYTES = 4 * 2**20
_HEADER = struct.Struct("<QI")  # the length of the record, and its masked CRC-32C
_FOOTER = struct.Struct("<I")  # the masked CRC-32C of the record


def read(part: inputs.Part, fields: shard_rows.Fields) -> Iterator[Row]:
    """Yields the images of a shard; the key is the feature `fields.key`, or the number of the record.

    A record whose checksum differs costs its own row. The last row says so if the rest of the shard can't be read.

    Raises:
      OSError: if the disk, the network or the store fails.
      UserError: if no record has the feature.
    """
    names = (fields.image,) if fields.image else shard_rows.IMAGE_FIELDS
    features: set[str] = set()
    found = number = 0
    with shard_files.open_stream(part.path) as (source, stream):
        for number, record in enumerate(_records(source, stream, fields.max_bytes + _OTHER_BYTES)):
            if isinstance(record, str):
                yield Row(part.path, "", None, statuses.DAMAGED_SHARD, record)
                break
            if record is None:
                yield Row(part.path, str(number), None, statuses.DAMAGED, "the checksum of the record differs")
                continue
            if isinstance(record, int):
                yield shard_rows.too_large(part.path, str(number), record, fields.max_bytes)
                continue
            example = _parse(record)
            if example is None:
                yield Row(part.path, str(number), None, statuses.DAMAGED, "the record is no tf.train.Example")
                continue
            features |= {*example}
            key = example.get(fields.key, str(number))
            key = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
            content = next((example[name] for name in names if isinstance(example.get(name), bytes)), None)
            found += content is not None
            if content is None:
                yield Row(part.path, key, None, statuses.MISSING, shard_rows.NO_IMAGE)
            else:
                yield Row(part.path, key, content)
    wrong_key = fields.key and fields.key not in features
    if features and (not found or wrong_key):
        raise shard_rows.no_field(part.path, fields.key if wrong_key else fields.image, sorted(features))


def _records(source: shard_files.Source, stream: BinaryIO, max_bytes: int) -> Iterator[bytes | int | str | None]:
    """Yields each record, the size of one that is too large, None for one whose checksum differs.

    The last may be a text: why the rest can't be read.
    """
    try:
        while header := stream.read(_HEADER.size):
            length, crc = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, -1)
            if crc != crc32c.masked(header[:8]):
                yield "the TFRecord file is damaged"
                return
            if length > max_bytes:
                left = length + _FOOTER.size
                while left and (block := stream.read(min(left, _BLOCK_BYTES))):
                    left -= len(block)
                record = length
            else:
                record = stream.read(length)
                footer = stream.read(_FOOTER.size)
                left = length + _FOOTER.size - len(record) - len(footer)
            if left:
                yield "the TFRecord file is truncated"
                return
            yield record if isinstance(record, int) or footer == _FOOTER.pack(crc32c.masked(record)) else None
    except shard_files.DAMAGE as error:
        source.raise_failure()
        yield f"the TFRecord file is damaged: {error}"


def _parse(record: bytes) -> dict[str, Any] | None:
    """Returns the first value of each feature of an example, or None if it is none."""
    import tensorflow as tf  # late: the worker that runs the export has it

    try:
        example = tf.train.Example.FromString(record)
    except Exception as error:
        if type(error).__name__ != "DecodeError":  # protobuf's, which comes with TensorFlow
            raise
        return None
    values = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        if kind and len(getattr(feature, kind).value):
            values[name] = getattr(feature, kind).value[0]
    return values
