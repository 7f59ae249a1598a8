import struct

import numpy as np
import pytest

from ornet_tf.bulk import crc32c
from tests.bulk import images


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, appendix B.4, and the check value of the catalogue of CRCs
        (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C), (b"123456789", 0xE3069283), (b"", 0),
    ],
)  # fmt: skip
def test_published_values(data, expected):
    assert crc32c.value(data) == expected


@pytest.mark.parametrize("size", [0, 1, 3, 4, 251, 252, 253, 508, 509, 100_003, 33_000_000])
def test_the_checksums_that_tensorflow_writes(tmp_path, size):
    record = np.random.default_rng(size).bytes(size)
    images.write_tfrecord(tmp_path / "a.tfrecord", [record])
    content = (tmp_path / "a.tfrecord").read_bytes()
    assert struct.unpack("<I", content[8:12]) == (crc32c.masked(content[:8]),)
    assert struct.unpack("<I", content[-4:]) == (crc32c.masked(record),)


def test_each_bit_counts():
    data = bytes(1000)
    flipped = {crc32c.value(data[:at] + bytes([1 << bit]) + data[at + 1 :]) for at in range(1000) for bit in range(8)}
    assert len(flipped | {crc32c.value(data)}) == 8001
