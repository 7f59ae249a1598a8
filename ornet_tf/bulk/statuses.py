"""The statuses of rows: `ok`, or one of a few reasons why an image was refused. TensorFlow is not imported."""
from __future__ import annotations

import errno
import re

OK = "ok"
MISSING = "missing"
UNREADABLE = "unreadable"
EMPTY = "empty"
TOO_LARGE = "too_large"
UNSUPPORTED = "unsupported"
DAMAGED = "damaged"
DAMAGED_SHARD = "damaged_shard"
REFUSED = "refused"

REFUSALS = {
    MISSING: "there is no such file, or the row holds no image",
    UNREADABLE: "the file can't be read: no permission, a folder, a disk error",
    EMPTY: "a file of 0 bytes",
    TOO_LARGE: "too many bytes, pixels, scans or compressed texts",
    UNSUPPORTED: "neither JPEG nor PNG, or a kind of JPEG that is not read",
    DAMAGED: "a truncated or damaged JPEG, PNG or record, or an image without pixels",
    DAMAGED_SHARD: "the shard is damaged here: its further rows, in Parquet those of the row group, are not read",
    REFUSED: "the export refuses it for another reason",
}

# The reasons of `ornet_tf.data.file_checks`; the first one that fits counts.
_REASONS = (
    (r"an empty file", EMPTY),
    (r"at most \d+ are read|of too many (scans|compressed texts)", TOO_LARGE),
    (r"neither JPEG nor PNG|only (JPEG and PNG|baseline and progressive ones|8) are read", UNSUPPORTED),
    (r"truncated or damaged|an image without pixels", DAMAGED),
)
_MISSING = (errno.ENOENT, errno.ENOTDIR)
_UNREADABLE = (
    errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EIO, errno.ENXIO,
)  # fmt: skip
_OF_ONE_FILE = {**dict.fromkeys(_MISSING, MISSING), **dict.fromkeys(_UNREADABLE, UNREADABLE)}
# What pyarrow's errors of S3, Google's and Azure's store, and of HDFS, say about one forbidden file.
_DENIED = re.compile(
    r"ACCESS_DENIED|AccessDenied|PERMISSION_DENIED|Permission denied|AuthorizationPermissionMismatch|\bForbidden\b"
)


def of_reason(reason: str) -> str:
    """Returns the status for the text with which an export refuses an image; "" means that it was read."""
    if not reason:
        return OK
    return next((status for pattern, status in _REASONS if re.search(pattern, reason)), REFUSED)


def of_error(error: OSError, is_local: bool = True) -> str:
    """Returns the status for an error about one file; "" if it may be about the disk, the network or the store.

    Args:
      error: the error.
      is_local: whether the file is on this machine. Stores give numbers such as EIO to failures of a moment.
    """
    if isinstance(error, FileNotFoundError):
        return MISSING
    if is_local:
        return _OF_ONE_FILE.get(error.errno, "")
    is_of_file = isinstance(error, (PermissionError, IsADirectoryError)) or _DENIED.search(str(error))
    return UNREADABLE if is_of_file else ""
