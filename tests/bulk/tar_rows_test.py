import gzip

import numpy as np
import pytest

from ornet_tf.bulk import inputs, tar_rows
from ornet_tf.bulk.shard_rows import Fields, Row
from ornet_tf.errors import UserError
from tests.bulk import images

MEMBERS = [
    ("a/0.x.png", images.png(0)), ("a/0.json", b"{}"), ("a/0.png", images.png(1)), ("b/1.0.png", images.png(2)),
    ("b/2.JPG", images.png(3)), ("README", b"text"),
]  # fmt: skip


def read(path, image=""):
    part, = inputs.find(str(path), 100).parts
    return list(tar_rows.read(part, Fields(image, max_bytes=1000)))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_row_for_each_image_with_the_key_of_its_sample(tmp_path, name):
    images.write_tar(tmp_path / "plain.tar", MEMBERS)
    content = (tmp_path / "plain.tar").read_bytes()
    path = tmp_path / "shards" / name
    path.parent.mkdir()
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read(path) == [Row(str(path), "a/0", images.png(1)), Row(str(path), "b/2", images.png(3))]
    assert [row.key for row in read(path, "x.png")] == ["a/0"]


@pytest.mark.parametrize("image", ["JPG", ".jpg", "Jpg"])
def test_endings_in_capitals_or_not(tmp_path, image):
    images.write_tar(tmp_path / "a.tar", MEMBERS)
    assert [row.key for row in read(tmp_path / "a.tar", image)] == ["b/2"]


def test_endings_that_are_not_there(tmp_path):
    path = tmp_path / "a.tar"
    images.write_tar(path, MEMBERS)
    with pytest.raises(UserError, match="Expected the field 'GIF' in .*, but it has , 0.png, jpg, json, png, x.png;"):
        read(path, "GIF")
    images.write_tar(path, [("a.JSON", b"{}")])
    with pytest.raises(UserError, match="Expected one of the fields jpg, jpeg, png in .*, but it has json;"):
        read(path)


def test_an_image_of_too_many_bytes(tmp_path):
    images.write_tar(tmp_path / "a.tar", [("a.png", b"x" * 1001), ("b.png", images.png(1))])
    assert [row.status for row in read(tmp_path / "a.tar")] == ["too_large", "ok"]


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "no end"])
def test_a_damaged_shard_keeps_the_rows_before_and_says_so(tmp_path, damage):
    path = tmp_path / "a.tar"
    images.write_tar(path, [(f"{n}.png", images.png(n)) for n in range(9)])
    content = path.read_bytes()
    length = 5000 if damage == "truncated" else 5120  # of whole members
    path.write_bytes(content[:length] + b"\x01" * (len(content) - length) * (damage == "overwritten"))
    rows = read(path)
    assert 2 < len(rows) < 9
    assert [row.content for row in rows[:-1]] == [images.png(n) for n in range(len(rows) - 1)]
    assert rows[-1].status == "damaged_shard" and "the tar file is damaged" in rows[-1].reason


@pytest.mark.parametrize("damage", ["truncated", "no trailer", "overwritten", "trailer"])
def test_a_damaged_gzip_shard_keeps_the_rows_before_and_says_so(tmp_path, damage):
    members = [(f"{n}.png", np.random.default_rng(n).bytes(900)) for n in range(99)]
    images.write_tar(tmp_path / "a.tar", members)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(images.damaged_gzip(gzip.compress((tmp_path / "a.tar").read_bytes()), damage))
    rows = read(path)
    assert [row.status for row in rows] == ["ok"] * (len(rows) - 1) + ["damaged_shard"]
    whole = len(rows) - 1 - (damage == "overwritten")  # gzip may notice damage only after the member that has it
    assert [row.content for row in rows[:whole]] == [content for _, content in members[:whole]]
    assert len(rows) == 100 if "trailer" in damage else 2 < len(rows) < 100
    assert "the tar file is damaged" in rows[-1].reason


def test_an_empty_shard_has_no_rows(tmp_path):
    images.write_tar(tmp_path / "a.tar", [])
    assert read(tmp_path / "a.tar") == []
