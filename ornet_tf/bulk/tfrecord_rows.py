"""Rows of TFRecord shards with tf.train.Example messages, also gzipped ones. Only reading them imports TensorFlow."""
from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from ornet_tf.bulk import inputs, locations, shard_rows, statuses
from ornet_tf.bulk.shard_rows import Row

_OTHER_BYTES = 64 * 2**20  # of a record beside the image; a larger record is not read
_HEADER = struct.Struct("<QI")  # the length of the record, and its masked CRC-32C
_FOOTER_BYTES = 4  # the CRC of the record; a damaged image is found when it is decoded
_MASK = 0xA282EAD8


def read(part: inputs.Part, fields: shard_rows.Fields) -> Iterator[Row]:
    """Yields the images of a shard; the key is the feature `fields.key`, or the number of the record.

    Raises:
      OSError: if the disk, the network or the store fails.
      UserError: if no record has the feature.
    """
    names = (fields.image,) if fields.image else shard_rows.IMAGE_FIELDS
    features: set[str] = set()
    found = number = 0
    place = locations.locate(part.path, "--input")
    with place.system.open_input_stream(place.path, compression="detect", buffer_size=2**20) as source:
        for number, record in enumerate(_records(source, fields.max_bytes + _OTHER_BYTES)):
            if isinstance(record, str):
                yield Row(part.path, "", None, statuses.DAMAGED_SHARD, record)
                break
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


def _records(source: BinaryIO, max_bytes: int) -> Iterator[bytes | int | str]:
    """Yields each record, the size of a record that is too large, or at the end why the rest can't be read."""
    while True:
        try:
            header = source.read(_HEADER.size)
            if not header:
                return
            length, crc = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, -1)
            if crc != _masked_crc(header[:8]):
                yield "the TFRecord file is damaged"
                return
            if length > max_bytes:
                left = length + _FOOTER_BYTES
                while left and (block := source.read(min(left, 2**22))):
                    left -= len(block)
                yield length
                continue
            record = source.read(length + _FOOTER_BYTES)
        except OSError as error:
            if error.errno is not None or "zlib" not in str(error):
                raise
            yield "the gzipped file is damaged"
            return
        if len(record) < length + _FOOTER_BYTES:
            yield "the TFRecord file is truncated"
            return
        yield record[:length]


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


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def _masked_crc(data: bytes) -> int:
    """Returns the masked CRC-32C (Castagnoli) of a few bytes, as TFRecord files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
