import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from ornet_tf.bulk import inputs, shard_rows
from ornet_tf.bulk.shard_rows import Fields, Row
from ornet_tf.errors import UserError
from tests.bulk import images


def read(path, fields, part_size=100):
    return [row for part in inputs.find(str(path), part_size).parts for row in shard_rows.read_parquet(part, fields)]


@pytest.fixture(name="path")
def _path(tmp_path):
    """A Parquet file of 50 images with ids, of which number 7 is null."""
    contents = [None if n == 7 else images.png(n) for n in range(50)]
    path = tmp_path / "a.parquet"
    images.write_parquet(path, {"id": [f"id {n}" for n in range(50)], "number": np.arange(50), "jpg": contents}, 20)
    return path


@pytest.mark.parametrize("part_size", [1, 30, 100])
def test_rows_of_row_groups_with_their_numbers(path, part_size):
    rows = read(path, Fields(), part_size)
    assert [row.key for row in rows] == [str(n) for n in range(50)]
    assert rows[41] == Row(str(path), "41", images.png(41))
    assert rows[7] == Row(str(path), "7", None, "missing", shard_rows.NO_IMAGE)


@pytest.mark.parametrize(("key", "expected"), [("id", "id 8"), ("number", "8")])
def test_a_column_of_keys(path, key, expected):
    assert read(path, Fields("jpg", key))[8].key == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (Fields("png"), r"Expected the field 'png' in .*, but it has id, number, jpg; name one by --image_field"),
        (Fields("", "name"), "Expected the field 'name'"),
    ],
)
def test_columns_that_are_not_there(path, fields, message):
    with pytest.raises(UserError, match=message):
        read(path, fields)


BYTES = [pyarrow.binary(), pyarrow.large_binary(), pyarrow.binary_view(), pyarrow.binary(4)]


@pytest.mark.parametrize("kind", [*BYTES, pyarrow.dictionary(pyarrow.int32(), pyarrow.binary())], ids=str)
def test_the_only_column_of_bytes_is_the_image(tmp_path, kind):
    path = tmp_path / "a.parquet"
    images.write_parquet(path, {"text": ["b"], "photo": pyarrow.array([b"abcd"]).cast(kind)}, 20)
    assert read(path, Fields()) == read(path, Fields("photo")) == [Row(str(path), "0", b"abcd")]


@pytest.mark.parametrize("kind", BYTES, ids=str)
def test_the_only_column_of_structures_with_bytes_is_the_image(tmp_path, kind):
    struct = pyarrow.StructArray.from_arrays([pyarrow.array([b"abcd"]).cast(kind)], ["bytes"])
    images.write_parquet(tmp_path / "a.parquet", {"path": ["a"], "photo": struct}, 20)
    assert [row.content for row in read(tmp_path / "a.parquet", Fields())] == [b"abcd"]


def test_several_columns_of_bytes_need_a_name(tmp_path):
    images.write_parquet(tmp_path / "a.parquet", {"one": [b"a"], "two": [b"b"]}, 20)
    with pytest.raises(UserError, match="Expected one of the fields image, jpg, .* has one of binary, two of binary;"):
        read(tmp_path / "a.parquet", Fields())
    assert [row.content for row in read(tmp_path / "a.parquet", Fields("two"))] == [b"b"]


def test_a_column_of_another_type_holds_no_images(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {"image": ["https://example.com/a.jpg"], "bytes": [{"bytes": "a"}], "jpg": [b"a"], "png": [b"b"]}
    images.write_parquet(path, columns, 20)
    assert [row.content for row in read(path, Fields())] == [b"a"]
    with pytest.raises(UserError, match="Expected bytes, .*, in the column 'image' of .*, but it holds string;"):
        read(path, Fields("image"))
    with pytest.raises(UserError, match="the column 'bytes' .* holds struct<bytes: string>"):
        read(path, Fields("bytes"))
    images.write_parquet(path, {"image": ["https://example.com/a.jpg"]}, 20)
    with pytest.raises(UserError, match="Expected one of the fields image, .*, but it has image of string; name one"):
        read(path, Fields())


def test_images_of_hugging_face(tmp_path):
    values = [{"bytes": images.png(1), "path": "x.png"}, {"bytes": images.png(2), "path": None}, None]
    images.write_parquet(tmp_path / "a.parquet", {"image": pyarrow.array(values)}, 20)
    rows = read(tmp_path / "a.parquet", Fields())
    assert [(row.key, row.content) for row in rows] == [("x.png", images.png(1)), ("1", images.png(2)), ("2", None)]


@pytest.mark.parametrize("kind", [pyarrow.string(), pyarrow.large_string(), pyarrow.binary()], ids=str)
def test_empty_and_missing_keys(tmp_path, kind):
    values = [{"bytes": b"a", "path": path} for path in ("x", "", "y", None)]
    keys = pyarrow.array(["", "b", None, None]).cast(kind)
    images.write_parquet(tmp_path / "a.parquet", {"image": values, "key": keys, "id": [0, 1, 2, None]}, 20)
    assert [row.key for row in read(tmp_path / "a.parquet", Fields("", "id"))] == ["0", "1", "2", "3"]
    assert [row.key for row in read(tmp_path / "a.parquet", Fields("", "key"))] == ["", "b", "y", "3"]
    assert [row.key for row in read(tmp_path / "a.parquet", Fields())] == ["x", "1", "y", "3"]


CODECS = [c for c in ("snappy", "gzip", "zstd", "lz4", "brotli") if pyarrow.Codec.is_available(c)] + ["none"]
PAGE_ROWS = 36
CONTENTS = [np.random.default_rng(n).bytes(1000) for n in range(400)]


def write_groups(path, codec, has_checksums=True, **columns):
    """Writes four row groups of 100 rows, whose pages have 36 rows."""
    table = pyarrow.table({**columns, "id": [f"id {n}" for n in range(400)]})
    parquet.write_table(
        table, path, row_group_size=100, compression=codec, data_page_size=PAGE_ROWS * 1000, write_batch_size=PAGE_ROWS,
        use_dictionary=False, write_page_checksum=has_checksums,
    )  # fmt: skip


def overwrite(path, group, column, start):
    """Overwrites a column of a row group from the fraction `start` of its bytes on."""
    content = bytearray(path.read_bytes())
    row_group = parquet.read_metadata(path).row_group(group)
    chunk, = (row_group.column(n) for n in range(row_group.num_columns) if row_group.column(n).path_in_schema == column)
    first = chunk.data_page_offset + int(start * chunk.total_compressed_size)
    end = chunk.data_page_offset + chunk.total_compressed_size
    content[first:end] = np.random.default_rng(0).bytes(end - first)
    path.write_bytes(content)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("part_size", [100, 400])
def test_damage_costs_its_row_group_from_its_page_on(tmp_path, codec, part_size):
    path = tmp_path / "a.parquet"
    write_groups(path, codec, image=CONTENTS)
    overwrite(path, 1, "image", 0.5)
    rows = read(path, Fields("", "id"), part_size)
    assert [row.key for row in rows] == [f"id {n}" for n in range(400)]
    damaged = range(100 + PAGE_ROWS, 200)
    assert [n for n, row in enumerate(rows) if row.status == "damaged_shard"] == [*damaged]
    assert all(row.content == (None if n in damaged else CONTENTS[n]) for n, row in enumerate(rows))
    assert [row.key for row in read(path, Fields(), part_size)] == [str(n) for n in range(400)]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("start", [0, 0.01, 0.5])
def test_damage_that_only_the_decoder_finds(tmp_path, codec, start):
    path = tmp_path / "a.parquet"
    contents = [b"%d " % n * 250 for n in range(400)]
    write_groups(path, codec, has_checksums=False, image=contents)
    overwrite(path, 1, "image", start)
    rows = read(path, Fields("", "id"))
    assert [row.key for row in rows] == [f"id {n}" for n in range(400)]
    assert [row.content for row in rows[:100] + rows[200:]] == contents[:100] + contents[200:]
    damaged = [row.status for row in rows].index("damaged_shard")
    assert [row.status for row in rows[100:200]] == ["ok"] * (damaged - 100) + ["damaged_shard"] * (200 - damaged)


@pytest.mark.parametrize("codec", CODECS)
def test_a_row_group_that_is_all_damaged(tmp_path, codec):
    path = tmp_path / "a.parquet"
    write_groups(path, codec, image=CONTENTS)
    for column in ("image", "id"):
        overwrite(path, 2, column, 0)
    rows = read(path, Fields("", "id"))
    names = [str(n) if 200 <= n < 300 else f"id {n}" for n in range(400)]
    assert [row.key for row in rows] == names
    assert [row.status for row in rows] == ["ok"] * 200 + ["damaged_shard"] * 100 + ["ok"] * 100


def test_a_damaged_column_of_keys_that_ends_early(tmp_path):
    path = tmp_path / "a.parquet"
    write_groups(path, "none", has_checksums=False, image=CONTENTS)
    overwrite(path, 1, "image", 0)
    content = bytearray(path.read_bytes())
    column = parquet.read_metadata(path).row_group(1).column(1)
    place = content.rindex(b"\x2c\x15", column.data_page_offset, column.data_page_offset + column.total_compressed_size)
    content[place + 2] -= 2  # the header of the last page: one value less
    path.write_bytes(content)
    names = [str(n) if 100 <= n < 200 else f"id {n}" for n in range(400)]
    assert [row.key for row in read(path, Fields("", "id"))] == names


def test_damaged_images_of_hugging_face_keep_their_paths(tmp_path):
    path = tmp_path / "a.parquet"
    write_groups(path, "zstd", image=[{"bytes": content, "path": f"{n}.jpg"} for n, content in enumerate(CONTENTS)])
    overwrite(path, 3, "image.bytes", 0)
    rows = read(path, Fields())
    assert [row.key for row in rows] == [f"{n}.jpg" for n in range(400)]
    assert [row.status for row in rows] == ["ok"] * 300 + ["damaged_shard"] * 100


def test_a_damaged_text_of_a_key_costs_no_row(tmp_path):
    path = tmp_path / "a.parquet"
    images.write_parquet(path, {"image": CONTENTS[:3], "id": ["first", "second", "third"]}, 3)
    path.write_bytes(path.read_bytes().replace(b"second", b"\xffecond"))
    assert [row.key for row in read(path, Fields("", "id"))] == ["first", "\ufffdecond", "third"]


def test_a_file_that_is_no_longer_parquet_is_tried_again(path):
    part, = inputs.find(str(path), 100).parts
    path.write_bytes(b"x" * 5000)
    with pytest.raises(OSError, match="was a Parquet file when the run began, and is none now"):
        list(shard_rows.read_parquet(part, Fields()))
    images.write_parquet(path, {"jpg": CONTENTS[:1]}, 20)
    with pytest.raises(OSError, match="had at least . row groups when the run began, and now has 1"):
        list(shard_rows.read_parquet(part, Fields()))
