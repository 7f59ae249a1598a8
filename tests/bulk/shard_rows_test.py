import numpy as np
import pyarrow
import pytest

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


def test_the_only_column_of_bytes_is_the_image(tmp_path):
    images.write_parquet(tmp_path / "a.parquet", {"photo": [images.png(1)], "text": ["b"]}, 20)
    assert read(tmp_path / "a.parquet", Fields())[0].content == images.png(1)
    images.write_parquet(tmp_path / "b.parquet", {"one": [b"a"], "two": [b"b"]}, 20)
    with pytest.raises(UserError, match="Expected one of the fields image, jpg, "):
        read(tmp_path / "b.parquet", Fields())


def test_images_of_hugging_face(tmp_path):
    values = [{"bytes": images.png(1), "path": "x.png"}, {"bytes": images.png(2), "path": None}, None]
    images.write_parquet(tmp_path / "a.parquet", {"image": pyarrow.array(values)}, 20)
    rows = read(tmp_path / "a.parquet", Fields())
    assert [(row.key, row.content) for row in rows] == [("x.png", images.png(1)), ("1", images.png(2)), ("2", None)]


def test_a_damaged_file_gives_a_row_for_each_of_the_footer(path):
    content = bytearray(path.read_bytes())
    content[600 : len(content) - 4000] = b"\xff" * (len(content) - 4600)
    path.write_bytes(content)
    rows = read(path, Fields())
    assert [row.key for row in rows] == [str(n) for n in range(50)]
    assert rows[-1].status == "damaged_shard"
