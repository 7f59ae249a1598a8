import pytest

from ornet_tf.bulk import inputs, tfrecord_rows
from ornet_tf.bulk.shard_rows import NO_IMAGE, Fields, Row
from ornet_tf.errors import UserError
from tests.bulk import images


def examples(count):
    return [{"image/encoded": images.png(n), "name": b"n%d" % n} for n in range(count)]


def read(path, *fields):
    part, = inputs.find(str(path), 100).parts
    return list(tfrecord_rows.read(part, Fields(*fields)))


@pytest.mark.parametrize(("name", "options"), [("a.tfrecord", None), ("a.tfrecord.gz", "GZIP")])
def test_a_row_for_each_example(tmp_path, name, options):
    path = tmp_path / name
    images.write_tfrecord(path, examples(5), options=options)
    assert read(path) == [Row(str(path), str(n), images.png(n)) for n in range(5)]
    assert [row.key for row in read(path, "image/encoded", "name")] == [f"n{n}" for n in range(5)]
    with pytest.raises(UserError, match="Expected the field 'photo' in .*, but it has image/encoded, name"):
        read(path, "photo")
    with pytest.raises(UserError, match="Expected the field 'id' in .*, but it has image/encoded, name"):
        read(path, "", "id")


def test_each_wrong_record_costs_its_own_row(tmp_path):
    large = b"x" * 88_000_000
    records = [*examples(1), b"\xff\xff", {"name": b"a"}, large, *examples(1)]
    images.write_tfrecord(tmp_path / "a.tfrecord", records)
    rows = read(tmp_path / "a.tfrecord")
    assert [row.status for row in rows] == ["ok", "damaged", "missing", "too_large", "ok"]
    assert (rows[2].reason, rows[4].key) == (NO_IMAGE, "4")


@pytest.mark.parametrize("damage", ["truncated", "length", "header"])
def test_a_damaged_shard_keeps_the_rows_before_and_says_so(tmp_path, damage):
    path = tmp_path / "a.tfrecord"
    sizes = []
    for count in (3, 4):
        images.write_tfrecord(path, examples(count))
        sizes.append(path.stat().st_size)
    content = bytearray(path.read_bytes())
    if damage == "length":
        content[sizes[0]] ^= 1
    end = {"truncated": sizes[0] + 20, "header": sizes[0] + 5}.get(damage)
    path.write_bytes(content[:end])
    rows = read(path)
    assert [row.content for row in rows[:-1]] == [images.png(n) for n in range(3)]
    assert rows[-1].status == "damaged_shard"


def test_a_damaged_image_is_passed_on(tmp_path):
    path = tmp_path / "a.tfrecord"
    images.write_tfrecord(path, examples(3))
    content = path.read_bytes()
    at = content.index(images.png(1)[-12:])
    path.write_bytes(content[:at] + b"broken" + content[at + 6 :])
    assert [row.status for row in read(path)] == ["ok"] * 3
