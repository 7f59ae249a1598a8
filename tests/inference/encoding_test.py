import io

import numpy as np
import pytest
from PIL import Image

from ornet_tf.inference import encoding


def test_files_and_bytes_are_not_changed(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert [encoding.encode(p) for p in (tmp_path / "a", str(tmp_path / "a"), b"content")] == [b"content"] * 3
    assert [encoding.encoded_size(p) for p in (tmp_path / "a", b"content", tmp_path / "missing")] == [7, 7, 0]


def test_pixels_keep_their_values():
    pixels = np.random.default_rng(0).integers(0, 256, [5, 7, 3], np.uint8)
    with Image.open(io.BytesIO(encoding.encode(pixels))) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    assert encoding.encoded_size(pixels) == 105


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros([4, 4], np.uint8), ValueError, r"\[H, W, 3\].* \[4, 4\]"),
        (np.zeros([0, 4, 3], np.uint8), ValueError, r"\[0, 4, 3\]"),
        (np.zeros([4, 4, 3], np.float32), TypeError, "uint8.* float32"),
        (3, TypeError, "path, bytes or uint8 pixels.* int"),
    ],
)
def test_values_that_are_not_images_are_refused(image, error, message):
    with pytest.raises(error, match=message):
        encoding.encode(image)


def test_a_file_that_cannot_be_read_is_an_os_error_with_its_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^Cannot read .*nothing: No such file or directory\.$"):
        encoding.encode(tmp_path / "nothing")
    with pytest.raises(OSError, match=r"^Cannot read "):
        encoding.encode(tmp_path)
