"""Finding segments; exif_test.py and orientation_test.py do so in thousands of files."""
import pytest
import tensorflow as tf

from ornet_tf.data import jpeg_segments

FILE = b"\xff\xd8" + b"\xff\xe0\0\4ab" + b"\xff\xff\x01" + b"\xff\xfe\0\2" + b"\xff\xe0\0\3c\xff\xd9" + b"\0" * 9


def first(wanted, file=FILE):
    return jpeg_segments.find_first(tf.constant(file), lambda marker, at: tf.equal(marker, wanted)).numpy().tolist()


@pytest.mark.parametrize(("marker", "expected"), [(0xE0, [2, 6]), (0xFE, [11, 4]), (0xC0, [0, 0]), (0xD8, [0, 0])])
def test_the_first_segment_of_a_kind_is_found(marker, expected):
    assert first(marker) == expected


def test_the_condition_can_depend_on_the_position():
    found = jpeg_segments.find_first(tf.constant(FILE), lambda marker, at: tf.logical_and(marker == 0xE0, at > 2))
    assert found.numpy().tolist() == [15, 5]


def test_files_without_segments_have_none():
    for file in (b"", b"\xff\xd8", FILE[:9], b"\xff\xd8" + b"z" * 40, b"\xff\xd8\xff\xe0\0\1" + b"\xff\xe0" * 20):
        assert first(0xFE, file) == [0, 0]
