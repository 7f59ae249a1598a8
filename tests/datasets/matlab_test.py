"""Our reader of MATLAB files gives what scipy wrote; what is no such file is named in a sentence."""
import struct

import numpy as np
import pytest
import scipy.io

from ornet_tf.datasets import _matlab


def cell(values):
    """Returns the object array [N, 1] that scipy writes as a cell array."""
    column = np.empty([len(values), 1], dtype=object)
    column[:, 0] = values
    return column


@pytest.mark.parametrize("compressed", [False, True])
def test_lists_numbers_and_structs_are_what_was_saved(tmp_path, compressed):
    names = [f"n{i:08d}-Breed/n{i:08d}_{7 * i}.jpg" for i in range(300)] + ["", "é-ß/1.jpg", "ab"]
    table = np.array([(2, "n02", "a, b"), (1, "n01", "c")], dtype=[("ID", "O"), ("WNID", "O"), ("words", "O")])
    numbers = {kind: np.arange(6, dtype=kind).reshape(2, 3) for kind in ("u1", "i2", "i4", "f4", "f8", "u8")}
    variables = {"file_list": cell(names), "synsets": table.reshape(2, 1), "text": "hello", **numbers}
    scipy.io.savemat(tmp_path / "a.mat", variables, do_compression=compressed)
    found = _matlab.read(tmp_path / "a.mat")
    assert found["file_list"] == names
    assert [(int(row["ID"][0, 0]), row["WNID"], row["words"]) for row in found["synsets"]] == table.tolist()
    assert found["text"] == "hello"
    for kind, values in numbers.items():
        np.testing.assert_array_equal(found[kind], values)
        assert found[kind].dtype == values.dtype


def test_a_file_of_a_big_endian_machine_is_read(tmp_path):
    def element(kind, data):
        return struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    body = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 1, 2)) + struct.pack(">HH", 1, 1)
    body += b"x\0\0\0" + element(9, struct.pack(">dd", 1.5, -2))
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\1\0MI" + element(14, body))
    np.testing.assert_array_equal(_matlab.read(tmp_path / "a.mat")["x"], [[1.5, -2]])


def test_what_is_not_read_is_none_and_harms_nothing(tmp_path):
    import scipy.sparse

    scipy.io.savemat(tmp_path / "a.mat", {"s": scipy.sparse.csc_matrix(np.eye(3)), "x": 3.0, "t": np.array(["a", "b"])})
    found = _matlab.read(tmp_path / "a.mat")
    assert (found["s"], found["t"], found["x"].tolist()) == (None, None, [[3.0]])


def test_other_files_are_named(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"file_list": cell(["a/b.jpg"] * 9)}, do_compression=True)
    good = path.read_bytes()
    scipy.io.savemat(path, {"x": 1.0}, format="4")
    version_4 = path.read_bytes()
    for content, message in [
        (good[:-9], "version 5, but it is damaged"),
        (good[:150] + b"\0" * (len(good) - 150), "version 5, but it is damaged"),
        (b"MATLAB 7.3 MAT-file" + b"\0" * 600, "got one of 7.3; save it anew with `save -v7`"),
        (version_4, "got something else"),
        (b"", "got something else"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as error:
            _matlab.read(path)
        assert str(path) in str(error.value)
