import os

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
    assert inputs.find(f"{tmp_path}/pho*/0000?.png", 3).files == paths
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


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa.png\r\nb\x0b\xc2\x85.png\n", b"a.png\nb\x0b\xc2\x85.png"])
def test_lines_of_a_list_end_at_line_feeds_only_and_a_mark_of_utf8_is_no_name(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    assert [os.path.basename(file) for file in inputs.find(str(tmp_path / "list.txt"), 3).files] == [
        "a.png", "b\x0b\x85.png",
    ]  # fmt: skip


def test_names_that_are_no_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"photos\xff")
    path, = images.write_folder(folder, 1)
    for text in (str(folder), f"{folder}/*.png", path, str(folder / "list.txt")):
        (folder / "list.txt").write_bytes(os.fsencode(path))
        assert inputs.find(text, 3).files == [path]
    images.write_parquet(tmp_path / "a.parquet", {"x": np.arange(1)}, row_group_size=2)
    (tmp_path / "a.parquet").rename(folder / "a.parquet")
    with pytest.raises(UserError, match=r"expected shards with names in UTF-8, got .*photos\\\\xff/a.parquet'; rename"):
        inputs.find(f"{folder}/*.parquet", 3)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a.png\nb.png".encode("utf-16"), "expected UTF-8 text .*but line 1 of .*list.txt has a byte 0; save"),
        (b"a.png\nb\0.png", "line 2 of .*list.txt has a byte 0"),
        (b"a.png\nnosuch://b/c.png", "line 2 of .*list.txt: expected a path or a URI of a file system"),
        (b"a.png\nfsspec+https://b/c.png", "line 2 of .*list.txt: .*web servers"),
        (b"fsspec+memory://b/c\nfsspec+memory://b/\xff.png", "line 2 of .*list.txt: expected a URI in UTF-8"),
        (b"a.parquet\nb.parquet\n_SUCCESS\nx", "shards of one kind only in .*a.parquet and .*/_SUCCESS; divide"),
        (b"b.png\na.tar\nc.parquet", "it has .*a.tar and .*b.png"),
        (b"a.tar\nc.parquet", "it has .*a.tar and .*c.parquet"),
    ],
)
def test_lists_that_are_refused_before_a_run_begins(tmp_path, lines, message):
    (tmp_path / "list.txt").write_bytes(lines)
    with pytest.raises(UserError, match=message):
        inputs.find(str(tmp_path / "list.txt"), 3)


def test_each_damage_of_a_footer_is_a_sentence_with_the_name_of_the_file(tmp_path):
    path = tmp_path / "a.parquet"
    images.write_parquet(path, {"x": np.arange(10)}, row_group_size=2)
    good = path.read_bytes()
    for place in range(len(good) - 8 - int.from_bytes(good[-8:-4], "little"), len(good), 2):
        path.write_bytes(good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :])
        try:
            inputs.find(str(path), 3)
        except UserError as error:
            assert f"{path} is no readable Parquet file" in str(error) or "expected rows" in str(error)


def test_a_footer_that_is_larger_than_the_first_read(tmp_path):
    path = tmp_path / "a.parquet"
    images.write_parquet(path, {"x": np.arange(3000)}, row_group_size=1)
    assert int.from_bytes(path.read_bytes()[-8:-4], "little") > 2**16
    assert len(inputs.find(str(path), 3).parts) == 1000


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
        ([], "nowhere/*.png", r"but .*nowhere/\*.png is not there"),
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
