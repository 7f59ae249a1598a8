import errno
import inspect
import re

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.bulk import statuses
from ornet_tf.data import decoding, file_checks
from tests import broken_files


def reason(content, **limits):
    """The reason with which the graph of an export refuses a file."""
    def first_pixel(pixels, frame):
        del frame
        return tf.cast(pixels[0, 0, 0], tf.float32)[None]

    _, reasons = decoding.decode_each(tf.constant([content]), first_pixel, [1], target_side=8, **limits)
    return reasons.numpy()[0].decode()


def files():
    rng = np.random.default_rng(0)
    image = broken_files.image(rng, 40, 50)
    jpeg, png = broken_files.encode(image, "JPEG"), broken_files.encode(image, "PNG")
    progressive = broken_files.encode(image, "JPEG", progressive=True)
    return {
        "jpeg": (jpeg, statuses.OK),
        "png": (png, statuses.OK),
        "empty": (b"", statuses.EMPTY),
        "text": (b"no image", statuses.UNSUPPORTED),
        "gif": (broken_files.encode(image, "GIF"), statuses.UNSUPPORTED),
        "webp": (broken_files.encode(image, "WEBP"), statuses.UNSUPPORTED),
        "lossless": (broken_files.with_frame(jpeg, 0xC3), statuses.UNSUPPORTED),
        "12 bits": (broken_files.with_frame(jpeg, 0xC1, 12), statuses.UNSUPPORTED),
        "half a jpeg": (jpeg[: len(jpeg) // 2], statuses.DAMAGED),
        "half a png": (png[: len(png) // 2], statuses.DAMAGED),
        "many pixels": (broken_files.blank_png(8000, 8000), statuses.TOO_LARGE),
        "many scans": (broken_files.with_scans(progressive, 1100), statuses.TOO_LARGE),
        "many texts": (broken_files.with_texts(png, 40), statuses.TOO_LARGE),
    }


@pytest.mark.parametrize("name", list(files()))
def test_every_reason_of_an_export_has_a_status(name):
    content, status = files()[name]
    assert statuses.of_reason(reason(content)) == status


def test_a_file_of_too_many_bytes():
    assert statuses.of_reason(reason(files()["png"][0], max_bytes=10)) == statuses.TOO_LARGE


def test_no_text_of_the_checks_is_unknown():
    beginnings = "a PNG of|a JPEG of|an image|an empty|truncated|neither"
    texts = re.findall(rf'"((?:{beginnings})[^"]+)"', inspect.getsource(file_checks))
    assert len(texts) >= 6
    assert [text for text in texts if statuses.of_reason(text) == statuses.REFUSED] == []


def test_other_reasons_are_refusals():
    assert statuses.of_reason("the moon is full") == statuses.REFUSED


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FileNotFoundError("gone"), statuses.MISSING),
        (OSError(errno.ENOENT, "gone"), statuses.MISSING),
        (PermissionError(errno.EACCES, "no"), statuses.UNREADABLE),
        (IsADirectoryError(errno.EISDIR, "a folder"), statuses.UNREADABLE),
        (OSError(errno.EIO, "bad sector"), statuses.UNREADABLE),
        (OSError(errno.ENOSPC, "full"), ""),
        (OSError("AWS Error NETWORK_CONNECTION"), ""),
    ],
)
def test_errors_of_one_file_and_of_the_system(error, status):
    assert statuses.of_error(error) == status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FileNotFoundError("gone"), statuses.MISSING),
        (OSError("key 'a': AWS Error ACCESS_DENIED during HeadObject operation: No response body."), "unreadable"),
        (OSError("google::cloud::Status(PERMISSION_DENIED: x)"), statuses.UNREADABLE),
        (PermissionError("no"), statuses.UNREADABLE),
        (OSError("AWS Error NETWORK_CONNECTION"), ""),
        (OSError(errno.EIO, "internal error"), ""),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), ""),
    ],
)
def test_errors_of_one_file_of_a_store_and_of_the_store(error, status):
    assert statuses.of_error(error, is_local=False) == status


def test_every_refusal_is_described():
    codes = {value for name, value in vars(statuses).items() if name.isupper() and isinstance(value, str)}
    assert codes == {statuses.OK, *statuses.REFUSALS}
