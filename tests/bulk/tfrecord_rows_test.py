import numpy as np
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


@pytest.mark.parametrize("damage", ["truncated", "truncated checksum", "length", "header"])
def test_a_damaged_shard_keeps_the_rows_before_and_says_so(tmp_path, damage):
    path = tmp_path / "a.tfrecord"
    sizes = []
    for count in (3, 4):
        images.write_tfrecord(path, examples(count))
        sizes.append(path.stat().st_size)
    content = bytearray(path.read_bytes())
    if damage == "length":
        content[sizes[0]] ^= 1
    ends = {"truncated": sizes[0] + 20, "truncated checksum": sizes[1] - 1, "header": sizes[0] + 5}
    path.write_bytes(content[: ends.get(damage)])
    rows = read(path)
    assert [row.content for row in rows] == [*(images.png(n) for n in range(3)), None]
    assert rows[-1].status == "damaged_shard"


@pytest.mark.parametrize("kept", [13, 1000, 88_000_012, 88_000_015])
def test_a_truncated_record_of_too_many_bytes_is_damage(tmp_path, kept):
    path = tmp_path / "a.tfrecord"
    images.write_tfrecord(path, [bytes(88_000_000)])
    path.write_bytes(path.read_bytes()[:kept])
    assert [(row.key, row.status) for row in read(path)] == [("", "damaged_shard")]


@pytest.mark.parametrize("of", [images.png(1), b"\n\x02n1"])
@pytest.mark.parametrize("bit", [0, 7])
def test_each_flipped_bit_of_a_record_costs_its_own_row(tmp_path, of, bit):
    path = tmp_path / "a.tfrecord"
    images.write_tfrecord(path, examples(4))
    content = bytearray(path.read_bytes())
    content[content.index(of) + len(of) - 1] ^= 1 << bit
    path.write_bytes(content)
    rows = read(path, "", "name")
    assert [(row.key, row.status) for row in rows] == [("n0", "ok"), ("1", "damaged"), ("n2", "ok"), ("n3", "ok")]
    assert rows[1].reason == "the checksum of the record differs"


@pytest.mark.parametrize("damage", ["truncated", "no trailer", "overwritten", "trailer"])
def test_a_damaged_gzip_shard_keeps_the_rows_before_and_says_so(tmp_path, damage):
    records = [{"image/encoded": np.random.default_rng(n).bytes(3000)} for n in range(40)]
    path = tmp_path / "a.tfrecord.gz"
    images.write_tfrecord(path, records, options="GZIP")
    path.write_bytes(images.damaged_gzip(path.read_bytes(), damage))
    rows = read(path)
    assert rows[-1].status == "damaged_shard" and "the TFRecord file is damaged" in rows[-1].reason
    assert all(row.status in ("ok", "damaged") for row in rows[:-1])
    good = [(row.key, row.content) for row in rows if row.status == "ok"]
    assert good == [(key, records[int(key)]["image/encoded"]) for key, _ in good]
    assert len(good) == 40 if "trailer" in damage else 2 < len(good) < 40
