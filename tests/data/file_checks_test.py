"""Which files are refused before decoding; decoding_test.py and decode_each_test.py send more kinds of files."""
import struct

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.data import decoding, file_checks
from tests import broken_files


@pytest.fixture(scope="module")
def progressive():
    return broken_files.encode(broken_files.image(np.random.default_rng(1), 30, 40), "JPEG", progressive=True)


def reason(encoded, **limits):
    return file_checks.refusal(tf.constant(encoded), **limits).numpy().decode()


def test_good_files_pass():
    for file in broken_files.good_files(np.random.default_rng(0)):
        assert reason(file) == ""


def test_the_header_of_a_jpeg_is_read_by_the_function_of_the_caller():
    file = file_checks.JPEG + b"\xe0" * 40
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        reason(file)
    assert decoding.refusal_reason(caught.value) == "truncated or damaged JPEG"
    for size, expected in (
        ((-1, -1), "truncated or damaged JPEG"),
        ((0, 3), "an image without pixels"),
        ((9000, 8000), "9000 x 8000 pixels (height x width); at most 50000000 are read"),
        ((7, 3), ""),
    ):
        assert reason(file, read_jpeg_size=lambda _, size=size: tf.constant(size, tf.int64)) == expected


def test_limits_are_inclusive(progressive):
    png = broken_files.blank_png(30, 40)
    for file in (progressive, png):
        assert reason(file, max_pixels=1200, max_bytes=len(file)) == ""
        assert reason(file, max_pixels=1199) == "30 x 40 pixels (height x width); at most 1199 are read"
        assert reason(file, max_bytes=len(file) - 1) == f"{len(file)} bytes; at most {len(file) - 1} are read"
        assert reason(file, max_bytes=2**40, max_pixels=2**40) == ""
    assert reason(png[:16] + struct.pack(">II", 2**32 - 1, 2**32 - 1) + png[24:]).startswith("4294967295 x 4294967295")


def test_a_jpeg_may_have_as_many_scans_as_its_size_allows(progressive):
    scans = progressive.count(b"\xff\xda")
    assert 5 < scans <= file_checks._SCANS_OF_LARGEST
    most = file_checks._SCANS_OF_LARGEST
    # An image of the largest accepted size.
    assert reason(broken_files.with_scans(progressive, most - scans), max_pixels=1200) == ""
    assert reason(broken_files.with_scans(progressive, most + 1 - scans), max_pixels=1200) == "a JPEG of too many scans"
    # An image of half that size may have twice as many scans.
    assert reason(broken_files.with_scans(progressive, 2 * most - scans), max_pixels=2400) == ""
    assert reason(broken_files.with_scans(progressive, 2 * most + 1 - scans), max_pixels=2400) != ""
    # Any image.
    most = file_checks._MAX_SCANS
    assert reason(broken_files.with_scans(progressive, most - scans)) == ""
    assert reason(broken_files.with_scans(progressive, most + 1 - scans)) == "a JPEG of too many scans"


def test_random_bytes_are_not_counted_as_scans(progressive):
    noise = np.random.default_rng(2).bytes(3_000_000).replace(file_checks._SCAN, b"")  # such as a film after the image
    assert noise.count(file_checks._SCAN[:2]) > file_checks._SCANS_OF_LARGEST
    assert reason(progressive + noise, max_pixels=1200) == ""


@pytest.mark.parametrize("name", file_checks._PNG_TEXTS)
def test_a_png_may_have_few_compressed_texts(name):
    png = broken_files.blank_png(9, 8)
    most = file_checks._MAX_PNG_TEXTS
    few = broken_files.with_texts(png, most, name)
    assert reason(few) == ""
    assert decoding.decode(few).shape == (9, 8, 3)
    assert reason(broken_files.with_texts(png, most + 1, name)) == "a PNG of too many compressed texts"
    both = broken_files.with_texts(broken_files.with_texts(png, most // 2 + 1, b"zTXt"), most // 2, b"iTXt")
    assert reason(both) == "a PNG of too many compressed texts"


def test_damage_is_described_with_the_format():
    assert file_checks.describe_damage(tf.constant(file_checks.PNG)).numpy() == b"truncated or damaged PNG"
    assert file_checks.describe_damage(tf.constant(file_checks.JPEG)).numpy() == b"truncated or damaged JPEG"
