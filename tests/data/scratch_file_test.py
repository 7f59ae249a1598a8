import errno
import os

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.data.scratch_file import ScratchArray

WORDS = {"what": "The table", "remedy": "elsewhere"}


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float16, tf.bfloat16, tf.float32])
def test_a_tensor_shares_the_memory_of_the_array(tmp_path, dtype):
    made = ScratchArray((3, 5), dtype.as_numpy_dtype, folder=str(tmp_path / "new"), **WORDS)
    assert (made.tensor.dtype, made.tensor.shape) == (dtype, [3, 5])
    assert not np.any(made.array.astype(np.float32))
    made.array[1, 2] = 7
    made.release_memory()
    assert float(made.tensor[1, 2]) == float(made.array[1, 2]) == 7


def test_the_file_has_no_name(tmp_path):
    made = ScratchArray((2**22,), np.uint8, folder=str(tmp_path), **WORDS)
    assert os.listdir(tmp_path) == []
    assert made.array.nbytes == 2**22


def test_released_memory_is_no_longer_resident(tmp_path):
    made = ScratchArray((2**26,), np.uint8, folder=str(tmp_path), **WORDS)
    made.array[:] = 1
    before = resident_bytes()
    made.release_memory()
    assert before - resident_bytes() > 2**25
    assert made.array[-1] == 1


def resident_bytes():
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_full_disk_and_a_folder_that_cannot_be_made_are_named(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(OSError, match=r"The table \(0.00 GiB\) could not be written to .*file/below: Not a dir"):
        ScratchArray((1,), np.uint8, folder=str(blocked / "below"), **WORDS)

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="No space left on device. Free some space .* again, elsewhere"):
        ScratchArray((1,), np.uint8, folder=str(tmp_path), **WORDS)


def test_a_disk_that_is_too_small_is_named_where_space_can_not_be_reserved(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    assert ScratchArray((3,), np.uint8, folder=str(tmp_path), **WORDS).array.tolist() == [0, 0, 0]
    with pytest.raises(OSError, match="No space left on device"):
        ScratchArray((2**60,), np.uint8, folder=str(tmp_path), **WORDS)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    ScratchArray((1,), np.uint8, folder="~/cache", **WORDS)
    assert (tmp_path / "cache").is_dir()
