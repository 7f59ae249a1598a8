"""The EXIF orientation against Pillow and an independent parser, on well-formed, malformed and random data."""
import io
import random
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from ornet_tf.data import decoding, exif

SIZE = (34, 47)  # height, width
decode_in_graph = tf.function(decoding.decode, input_signature=[tf.TensorSpec([], tf.string)])
orientation_in_graph = tf.function(exif.read_orientation, input_signature=[tf.TensorSpec([], tf.string)])


@pytest.fixture(scope="module")
def colours():
    return np.random.default_rng(2).integers(0, 256, (*SIZE, 3), np.uint8)


def exif_data(orientation, order="<", kind=3, before=1, first=8):
    """EXIF data with one orientation entry after `before` others, in either byte order."""
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    entries = [struct.pack(order + "HHII", 0x0080 + i, 4, 1, 6) for i in range(before)]
    entries.append(struct.pack(order + "HHI", 0x0112, kind, 1) + value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", first)
    return head.ljust(first, b"\0") + struct.pack(order + "H", len(entries)) + b"".join(entries) + b"\0" * 4


def with_exif(jpeg, data, before=b""):
    """Puts an EXIF segment behind the start of a JPEG, `before` in front of it."""
    payload = b"Exif\0\0" + data
    return jpeg[:2] + before + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def orientation_in_python(data):
    """An independent reading of EXIF data."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    try:
        (first,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, first)
    except (struct.error, TypeError):
        return 1
    for entry in range(count):
        at = first + 2 + 12 * entry
        if at + 12 > len(data):
            break
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag == 0x0112 and kind in (3, 4):
            (value,) = struct.unpack_from(order + {3: "H", 4: "I"}[kind], data, at + 8)
            return value if 1 <= value <= 8 else 1
    return 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(colours, encode, orientation, order):
    encoded = with_exif(encode(colours, "JPEG"), exif_data(orientation, order))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    decoded = decode_in_graph(encoded).numpy()
    assert decoded.shape == expected.shape == ((*SIZE, 3) if orientation < 5 else (*SIZE[::-1], 3))
    assert np.abs(decoded.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(decoding.decode(encoded).numpy(), decoded)


@pytest.mark.parametrize(
    "data, expected",
    [
        (exif_data(6, kind=4), 6),  # LONG instead of SHORT
        (exif_data(6, ">", kind=4), 6),
        (exif_data(8, before=0), 8),
        (exif_data(8, before=30, first=100), 8),
        (exif_data(6, kind=2), 1),  # text
        (exif_data(0), 1),
        (exif_data(9), 1),
        (exif_data(65535), 1),
        (exif_data(65536 + 6, kind=4), 1),
        (b"", 1),
        (b"II*\0", 1),
        (b"XX" + exif_data(6)[2:], 1),
        (b"II+\0" + exif_data(6)[4:], 1),
        (exif_data(6)[:4] + b"\xff\xff\xff\xff" + exif_data(6)[8:], 1),  # the directory lies far outside
        (exif_data(6)[:8] + b"\xff\xff" + exif_data(6)[10:], 6),  # fewer entries than stated
        (exif_data(6)[:8] + b"\0\0" + exif_data(6)[10:], 1),
    ],
    ids=range(16),
)
def test_malformed_exif_means_upright(colours, encode, data, expected):
    encoded = with_exif(encode(colours, "JPEG"), data)
    assert int(orientation_in_graph(encoded)) == orientation_in_python(data) == expected
    assert decode_in_graph(encoded).shape == ((*SIZE, 3) if expected < 5 else (*SIZE[::-1], 3))


def test_truncated_and_damaged_exif_never_fails(colours, encode):
    jpeg, rng = encode(colours, "JPEG"), random.Random(8)
    truncated = [exif_data(6, order)[:length] for order in "<>" for length in range(40)]
    damaged = [bytearray(exif_data(rng.randint(1, 8), rng.choice("<>"), before=2)) for _ in range(300)]
    for data in damaged:
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 3, 4, 6, 8, 0x12, 255, rng.randrange(256)])
    expected = [orientation_in_python(bytes(data)) for data in truncated + damaged]
    assert {1, 6} < set(expected)
    for data, value in zip(truncated + damaged, expected):
        assert int(orientation_in_graph(with_exif(jpeg, bytes(data)))) == value


def test_truncated_and_random_files_never_fail(colours, encode):
    jpeg = with_exif(encode(colours, "JPEG"), exif_data(6))
    rng = random.Random(1)
    for length in range(80):
        assert int(orientation_in_graph(jpeg[:length])) in (1, 6)
        noise = b"".join(b"\xff" + rng.randbytes(rng.randint(1, 6)) for _ in range(9))
        assert int(orientation_in_graph(jpeg[:2] + noise)) in range(1, 9)


@pytest.mark.parametrize(
    "before, expected",
    [
        (b"\xff\xe0\0\x10JFIF\0" + b"\1" * 9, 6),
        (b"\xff\xe1\0\x22http://ns.adobe.com/xap/1.0/\0abc", 6),  # XMP is an APP1 segment, too
        (b"\xff\xfe\1\0" + b"c" * 254 + (b"\xff\xe2\x10\0" + b"p" * 4094) * 60, 6),  # a comment, a long colour profile
        (b"\xff\xff\xff", 6),  # fill bytes
        (b"\xff\x01", 6),  # a marker without a length
        (b"\xff\xfe\0\2" * 300, 1),  # too many segments
        (b"\xff\xe0\0\1", 1),  # a length below its own two bytes
        (b"\xff\xda\0\2", 1),  # image data follows
        (b"z\xe0\0\4zz", 1),  # no marker
    ],
    ids=range(9),
)
def test_exif_is_found_behind_other_segments(before, expected):
    assert int(orientation_in_graph(with_exif(b"\xff\xd8" + b"\0" * 16, exif_data(6), before))) == expected
