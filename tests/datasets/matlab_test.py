"""Variables come as they were saved; a file that is no MATLAB file is named in a sentence."""
import numpy as np
import pytest
import scipy.io

from ornet_tf.datasets import _matlab
from ornet_tf.errors import UserError


def cell(values):
    """Returns the object array [N, 1] that scipy writes as a cell array."""
    column = np.empty([len(values), 1], dtype=object)
    column[:, 0] = values
    return column


@pytest.mark.parametrize("names", [["n01-Breed/n01_7.jpg", "é-ß/1.jpg", "ab"], ["n01-Breed/n01_7.jpg"]])
@pytest.mark.parametrize("compressed", [False, True])
def test_lists_and_tables_are_what_was_saved(tmp_path, names, compressed):
    table = np.array([(2, "n02", "a, b"), (1, "n01", "c")], dtype=[("ID", "O"), ("WNID", "O"), ("words", "O")])
    table = table[: len(names)].reshape(-1, 1)
    scipy.io.savemat(tmp_path / "a.mat", {"file_list": cell(names), "synsets": table}, do_compression=compressed)
    assert _matlab.read(tmp_path / "a.mat", "file_list").tolist() == names
    found = _matlab.read(tmp_path / "a.mat", "synsets")
    assert [(int(row["ID"]), str(row["WNID"]), str(row["words"])) for row in found] == table[:, 0].tolist()
    assert _matlab.read(tmp_path / "a.mat", "other") is None


def test_files_that_cannot_be_read_are_named(tmp_path):
    path = tmp_path / "a.mat"
    with pytest.raises(FileNotFoundError):
        _matlab.read(path, "file_list")
    scipy.io.savemat(path, {"file_list": cell([f"a/{i}.jpg" for i in range(99)])}, do_compression=True)
    good = path.read_bytes()
    new = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\0" * 512
    for content, message in [
        (good[:-9], "none or is damaged"),
        (good[:150] + b"\0" * (len(good) - 150), "none or is damaged"),
        (new, r"got -v7\.3; save it with -v7"),
        (b"PK\3\4" * 99, "none or is damaged"),
        (b"", "none or is damaged"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=message) as error:
            _matlab.read(path, "file_list")
        assert str(path) in str(error.value)
