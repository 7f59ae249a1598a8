"""The reader without TensorFlow against the reader in the graph, on files about which readers disagree."""
from __future__ import annotations

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from ornet_tf.data import exif, orientation
from tests import broken_files
from tests.data import fierce_jpegs

HEIGHT, WIDTH = 18, 29


@pytest.fixture(scope="module", name="pair")
def _pair():
    """A JPEG and a PNG of the same image, without metadata."""
    image = broken_files.image(np.random.default_rng(6), HEIGHT, WIDTH)
    return broken_files.encode(image, "JPEG"), broken_files.encode(image, "PNG")


def read(file):
    return orientation.read_orientation(io.BytesIO(file))


def in_graph(files):
    """The orientations that the graph reads; thousands of files per second."""
    read_one = tf.autograph.experimental.do_not_convert(exif.read_orientation)
    dataset = tf.data.Dataset.from_tensor_slices(files).map(read_one, tf.data.AUTOTUNE, deterministic=True)
    return np.concatenate(list(dataset.batch(256).as_numpy_iterator())).tolist()


def test_both_readers_agree_with_the_rules_on_files_written_by_hand(pair):
    files = fierce_jpegs.written_by_hand(*pair)
    jpegs = {name: file for name, (file, _) in files.items() if file.startswith(b"\xff\xd8")}
    expected = {name: value for name, (_, value) in files.items()}
    assert {name: read(file) for name, (file, _) in files.items()} == expected
    assert in_graph(list(jpegs.values())) == [read(file) for file in jpegs.values()]


def test_both_readers_agree_on_thousands_of_damaged_files(pair):
    files = list(fierce_jpegs.damaged(np.random.default_rng(7), pair[0], 6000))
    expected = [read(file) for file in files]
    assert in_graph(files) == expected
    assert set(expected) == set(range(1, 9)) and 500 < sum(value > 1 for value in expected) < 5000


def test_files_that_are_no_jpeg_are_upright(pair):
    turned = fierce_jpegs.exif(fierce_jpegs.entry(6))
    for file in (b"", b"\xff", b"\xff\xd8", b"GIF89a" + turned, turned, pair[1]):
        assert read(file) == 1


def test_only_the_first_bytes_of_a_file_are_read(pair):
    class Counting(io.BytesIO):
        count = 0

        def read(self, size=-1):
            self.count += size
            return super().read(size)

    file = Counting(pair[0] + b"\0" * 10**6)
    assert orientation.read_orientation(file) == 1
    assert file.count < 200


def test_the_stored_size_is_read_behind_any_segments(pair):
    files = [file for file, _ in fierce_jpegs.written_by_hand(*pair).values() if file.startswith(b"\xff\xd8")]
    sizes = [orientation.read_stored_size(io.BytesIO(file)) for file in files]
    assert {*sizes} == {(HEIGHT, WIDTH), None}
    assert sizes.count(None) < 8 < 50 < len(files)  # None for files with too many or malformed segments
    large = pair[0].replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", 65500, 65501), 1)
    assert orientation.read_stored_size(io.BytesIO(large)) == (65500, 65501)
    for file in (b"", pair[1], pair[0][:100], pair[0].replace(struct.pack(">H", HEIGHT), b"\0\0", 1)):
        assert orientation.read_stored_size(io.BytesIO(file)) is None


@pytest.mark.parametrize("value", range(1, 9))
def test_pixels_are_turned_as_by_pillow_and_in_the_graph(value):
    pixels = np.random.default_rng(value).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = value
    turned = np.asarray(orientation.turn_upright(Image.fromarray(pixels), value))
    np.testing.assert_array_equal(turned, np.asarray(ImageOps.exif_transpose(image)))
    np.testing.assert_array_equal(turned, exif.turn_upright(tf.constant(pixels), tf.constant(value)))


@pytest.mark.parametrize("value", range(1, 9))
def test_boxes_are_turned_as_their_pixels(value):
    rng = np.random.default_rng(value)
    for _ in range(20):
        ymin, ymax = np.sort(rng.choice(HEIGHT + 1, 2, replace=False))
        xmin, xmax = np.sort(rng.choice(WIDTH + 1, 2, replace=False))
        inside = np.zeros([HEIGHT, WIDTH], bool)
        inside[ymin:ymax, xmin:xmax] = True
        turned = np.asarray(orientation.turn_upright(Image.fromarray(inside), value))
        rows, columns = (np.flatnonzero(turned.any(axis)) for axis in (1, 0))
        stored = np.array([[ymin, xmin, ymax, xmax]] * 2, np.float32)
        boxes = orientation.turn_boxes_upright(stored, value, height=HEIGHT, width=WIDTH)
        assert boxes.dtype == np.float32
        np.testing.assert_array_equal(boxes, [[rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]] * 2)
        fractions = orientation.turn_boxes_upright(stored / ([HEIGHT, WIDTH] * 2), value, height=1, width=1)
        sides = [WIDTH, HEIGHT] * 2 if value > 4 else [HEIGHT, WIDTH] * 2
        np.testing.assert_allclose(fractions * sides, boxes, atol=1e-4)
    assert orientation.turn_boxes_upright(np.zeros([0, 4]), value, height=3, width=2).shape == (0, 4)


def test_tensorflow_is_not_imported():
    code = "import sys, ornet_tf.data.orientation; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
