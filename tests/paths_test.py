import os
import pathlib

import pytest

from ornet_tf import paths
from ornet_tf.errors import UserError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "an empty string; is a variable unset"),
        ("  ", "an empty string"),
        ("gs://bucket/run", "of this machine, got 'gs://bucket/run'.* URLs are not supported"),
        ("s3:/bucket", "URLs are not supported"),
        ("file:///tmp/run", "URLs are not supported"),
        (None, "expected a path, got None"),
        (3, "expected a path, got 3"),
        ("~nosuchuser/run", "got '~nosuchuser/run', but there is no user 'nosuchuser'.* ./~nosuchuser"),
    ],
)
def test_anything_but_a_path_of_this_machine_is_refused(given, message):
    with pytest.raises(UserError, match=f"^--workdir: .*{message}"):
        paths.local(given, "--workdir")


def test_a_path_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert paths.local("runs/a:b", "x") == tmp_path / "runs" / "a:b"
    assert paths.local(pathlib.Path("~/runs"), "x") == tmp_path / "home" / "runs"
    assert paths.local(".", "x") == tmp_path
    assert paths.local("./~nosuchuser", "x") == tmp_path / "~nosuchuser"
    assert paths.expand_home("gs://bucket/~", "x") == "gs://bucket/~"


def test_bytes_that_are_not_utf_8_are_escaped():
    odd = os.fsdecode(b"a/caf\xe9.png")
    assert paths.readable(odd) == "a/caf\\xe9.png"
    assert paths.readable("a/\u9ce5.png") == "a/\u9ce5.png"
    assert paths.readable(pathlib.Path("a")) == "a"


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("bird", "bird_box.png"),
        ("n" * 300, "n" * 132 + "_box.png"),
        ("\u9ce5" * 100, "\u9ce5" * 44 + "_box.png"),
        (os.fsdecode(b"caf\xe9"), "caf\ufffd_box.png"),
        (os.fsdecode(b"\xe9" * 100), "\ufffd" * 44 + "_box.png"),
    ],
)
def test_long_file_names_are_cut_between_characters(tmp_path, stem, name):
    assert paths.file_name(stem, "_box.png") == name
    (tmp_path / name).touch()
    assert len(os.fsencode(name)) <= 140
