import gzip

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
    with pytest.raises(UserError, match="Expected the field 'gif' in .*, but it has .*0.png, .*json"):
        read(path, "gif")


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


def test_an_empty_shard_has_no_rows(tmp_path):
    images.write_tar(tmp_path / "a.tar", [])
    assert read(tmp_path / "a.tar") == []
