import pathlib

import pytest

from ornet_tf import paths
from ornet_tf.errors import UserError


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "an empty text; is a variable unset"),
        ("  ", "an empty text"),
        ("gs://bucket/run", "of this machine, got 'gs://bucket/run'; URLs are not supported"),
        ("s3:/bucket", "URLs are not supported"),
        ("file:///tmp/run", "URLs are not supported"),
        (None, "expected a path, got None"),
        (3, "expected a path, got 3"),
    ],
)
def test_what_is_no_path_of_this_machine_is_refused(given, said):
    with pytest.raises(UserError, match=f"^--workdir: .*{said}"):
        paths.local(given, "--workdir")


def test_a_path_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert paths.local("runs/a:b", "x") == tmp_path / "runs" / "a:b"
    assert paths.local(pathlib.Path("~/runs"), "x") == tmp_path / "home" / "runs"
    assert paths.local(".", "x") == tmp_path
