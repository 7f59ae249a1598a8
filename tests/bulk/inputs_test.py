import numpy as np
import pytest

from ornet_tf.bulk import inputs
from ornet_tf.bulk.inputs import Part
from ornet_tf.errors import UserError
from tests.bulk import images


def test_a_folder_of_images_in_parts_of_some_files(tmp_path):
    paths = images.write_folder(tmp_path / "photos", 7)
    (tmp_path / "photos" / "notes.md").write_text("no image")
    found = inputs.find(str(tmp_path / "photos"), 3)
    assert (found.kind, found.files, found.parts) == ("images", paths, [Part("", rows=n) for n in (3, 3, 1)])
    assert inputs.find(f"{tmp_path}/pho*/0000[12].png", 3).files == paths[1:3]
    assert inputs.find(paths[2], 3).files == [paths[2]]


def test_the_digest_changes_with_the_files(tmp_path):
    images.write_folder(tmp_path / "photos", 7)
    before = inputs.find(str(tmp_path / "photos"), 3)
    assert inputs.find(str(tmp_path / "photos"), 3) == before
    (tmp_path / "photos" / "00001.png").rename(tmp_path / "photos" / "10001.png")
    assert inputs.find(str(tmp_path / "photos"), 3).digest != before.digest


def test_a_list_keeps_its_order_and_wrong_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["b.png", "/a/no suffix", "gs://bucket/c.jpg", "", "a.png", "b.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    found = inputs.find("list.txt", 100)
    a, b = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    assert found.files == [b, "/a/no suffix", "gs://bucket/c.jpg", a, b]
    assert found.parts == [Part("", rows=5)]


def test_parquet_in_whole_row_groups(tmp_path):
    path = tmp_path / "a.parquet"
    images.write_parquet(path, {"x": np.arange(10)}, row_group_size=2)
    images.write_parquet(tmp_path / "b.parquet", {"x": np.arange(1)}, row_group_size=2)
    images.write_parquet(tmp_path / "c.parquet", {"x": np.arange(0)}, row_group_size=2)
    found = inputs.find(str(tmp_path), 3)
    first = [Part(str(path), 0, 2, 4), Part(str(path), 2, 2, 4), Part(str(path), 4, 1, 2)]
    assert (found.kind, found.parts) == ("parquet", [*first, Part(str(tmp_path / "b.parquet"), 0, 1, 1)])


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("webdataset", ["a.tar", "b.tar.gz"]),
        ("tfrecord", ["a.tfrecord", "b.tfrecords.gz", "train-00000-of-00002", "x.tfrecord-00001-of-00002"]),
    ],
)
def test_each_shard_is_a_part(tmp_path, kind, names):
    for name in names:
        (tmp_path / name).write_text(name)
    before = inputs.find(str(tmp_path), 3)
    assert (before.kind, before.parts) == (kind, [Part(str(tmp_path / name)) for name in names])
    (tmp_path / "list.txt").write_text("\n".join(str(tmp_path / name) for name in names))
    assert inputs.find(str(tmp_path / "list.txt"), 3) == before
    (tmp_path / names[0]).write_text("larger than before")
    assert inputs.find(str(tmp_path), 3).digest != before.digest


@pytest.mark.parametrize(
    ("files", "text", "message"),
    [
        ([], "", "expected images .* or TFRecord files .* but found none"),
        (["a.md"], "", "expected images .*but found none"),
        ([], "nowhere", "but .*nowhere is not there"),
        ([], "*.png", "expected images .*but found none"),
        (["a.png", "b.tar"], "", "expected files of one kind in .*found 1 of images, 1 of webdataset; .*pattern"),
        (["list.txt"], "list.txt", "expected a path in each line"),
        (["a.parquet"], "", "a.parquet is no readable Parquet file"),
    ],
)
def test_wrong_inputs(tmp_path, files, text, message):
    for name in files:
        (tmp_path / name).write_text("\n")
    with pytest.raises(UserError, match=message):
        inputs.find(f"{tmp_path}/{text}", 3)


def test_shards_without_rows_and_shards_that_are_gone(tmp_path):
    images.write_parquet(tmp_path / "a.parquet", {"x": np.arange(0)}, row_group_size=2)
    with pytest.raises(UserError, match="expected rows"):
        inputs.find(str(tmp_path), 3)
    (tmp_path / "list.txt").write_text(str(tmp_path / "b.tar"))
    with pytest.raises(UserError, match="expected the file .*b.tar, but it is not there"):
        inputs.find(str(tmp_path / "list.txt"), 3)
