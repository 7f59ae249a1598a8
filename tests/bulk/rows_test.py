import http.server
import itertools
import os
import threading

import pytest

from ornet_tf.bulk import inputs, plan, rows
from ornet_tf.bulk.output_folder import OutputFolder
from ornet_tf.bulk.shard_rows import Row
from tests.bulk import images


def read_all(text, tmp_path, **options):
    folder = OutputFolder(str(tmp_path / "out"))
    folder.create()
    made, found = images.make_plan(text, **options)
    plan.store(made, found.files, folder)
    return [row for part in range(len(made.parts)) for row in rows.read(made, part, folder)]


def test_files_in_order_and_each_failure_in_its_own_row(tmp_path):
    paths = images.write_folder(tmp_path / "photos", 30)
    (tmp_path / "photos" / "00010.png").write_bytes(b"x" * 1001)
    (tmp_path / "photos" / "00012.png").unlink()
    (tmp_path / "photos" / "00012.png").mkdir()
    (tmp_path / "list.txt").write_text("\n".join([*paths, str(tmp_path / "gone.png"), f"fsspec+file://{paths[1]}"]))
    found = read_all(tmp_path / "list.txt", tmp_path, part_size=20)
    assert [row.path for row in found[:30]] == paths
    assert {n: row.status for n, row in enumerate(found) if row.status != "ok"} == {
        10: "too_large", 12: "unreadable", 30: "missing",
    }  # fmt: skip
    assert found[10].reason == "1001 bytes; at most 1000 are read"
    assert found[5] == Row(paths[5], paths[5], images.png(5))
    assert (found[31].content, found[4].content) == (images.png(1), b"")


def test_a_file_of_a_store_that_is_gone_or_too_large(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x" * 1001)
    (tmp_path / "list.txt").write_text(f"fsspec+file://{tmp_path}/a.png\nfsspec+file://{tmp_path}/b.png")
    assert [row.status for row in read_all(tmp_path / "list.txt", tmp_path)] == ["too_large", "missing"]


class _Store(http.server.BaseHTTPRequestHandler):
    """Answers like S3: each object has the name of the status with which its requests end; lists are empty."""

    def do_GET(self):
        is_list = "list-type" in self.path
        code = 200 if is_list else int(self.path.rpartition("/")[2].removesuffix(".png"))
        content = _NO_OBJECTS if is_list else images.png(1) if code == 200 else b""
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


_NO_OBJECTS = b'<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>'


def test_what_a_store_answers_about_a_file_is_its_status_and_a_failure_of_the_store_is_none(tmp_path, monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        (tmp_path / "list.txt").write_text("\n".join(f"s3://rows-test/{code}.png" for code in (200, 404, 403)))
        found = read_all(tmp_path / "list.txt", tmp_path)
        (tmp_path / "list.txt").write_text("s3://rows-test/400.png")  # as with credentials that have expired
        with pytest.raises(OSError, match="HTTP status 400"):
            read_all(tmp_path / "list.txt", tmp_path / "2")
        server.shutdown()
    assert [(row.status, row.content) for row in found] == [
        ("ok", images.png(1)), ("missing", None), ("unreadable", None),
    ]  # fmt: skip
    assert "ACCESS_DENIED" in found[2].reason


def test_a_folder_whose_name_is_no_utf8(tmp_path):
    images.write_folder(tmp_path / os.fsdecode(b"photos\xff"), 2)
    found = read_all(tmp_path / os.fsdecode(b"photos\xff"), tmp_path)
    assert [(row.path, row.content) for row in found] == [
        (rf"{tmp_path}/photos\xff/0000{n}.png", images.png(n)) for n in range(2)
    ]


def test_a_folder_of_a_store_and_files_by_file_uris(tmp_path):
    (tmp_path / "a b.png").write_bytes(images.png(1))
    uris = [f"fsspec+file://{tmp_path}", f"file://{tmp_path}/a b.png", f"file://{tmp_path}/c.png"]
    (tmp_path / "list.txt").write_text("\n".join(uris))
    found = read_all(tmp_path / "list.txt", tmp_path)
    assert [(row.path, row.status) for row in found] == list(zip(uris, ["unreadable", "ok", "missing"]))


def test_each_kind_of_shard_is_read(tmp_path):
    contents = [images.png(n) for n in range(3)]
    images.write_parquet(tmp_path / "a.parquet", {"image": contents}, 2)
    images.write_tar(tmp_path / "a.tar", [(f"{n}.png", content) for n, content in enumerate(contents)])
    images.write_tfrecord(tmp_path / "a.tfrecord", [{"image": content} for content in contents])
    for number, kind in enumerate([inputs.PARQUET, inputs.WEBDATASET, inputs.TFRECORD]):
        path = tmp_path / f"a.{ {'webdataset': 'tar'}.get(kind, kind)}"
        found = read_all(path, tmp_path / str(number))
        assert found == [Row(str(path), str(n), content) for n, content in enumerate(contents)]


def test_errors_of_the_system_are_no_rows(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no connection")

    images.write_folder(tmp_path / "photos", 3)
    monkeypatch.setattr(rows, "_read_file", fail)
    with pytest.raises(OSError, match="no connection"):
        read_all(tmp_path / "photos", tmp_path)


@pytest.mark.parametrize(("size", "least", "most"), [(1, 33, 40), (10_000_000, 1, 12)])
def test_many_small_and_few_large_files_are_read_ahead(tmp_path, monkeypatch, size, least, most):
    content, read = b"x" * size, []

    def read_file(name, _):
        read.append(name)
        return Row(name, name, content)

    monkeypatch.setattr(rows, "_read_file", read_file)
    taken = list(itertools.islice(rows._read_files([str(n) for n in range(200)], 2 * size), 150))
    assert [row.path for row in taken] == [str(n) for n in range(150)]
    assert least <= len(read) - 150 <= most


def numbered(sizes):
    for number, size in enumerate(sizes):
        yield Row("a", str(number), b"x" * size)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([1] * 7, [3, 3, 1]), ([], []), ([40_000_000, 1, 20_000_000, 20_000_000, 1], [1, 3, 1])],
)
def test_batches_are_small_if_rows_are_large(sizes, expected):
    found = list(rows.batches(numbered(sizes), 3))
    assert [len(batch) for batch in found] == expected
    assert [row.key for batch in found for row in batch] == [str(n) for n in range(len(sizes))]


def test_the_next_batch_and_no_further_one_is_read_while_one_is_used():
    read, second = itertools.count(), threading.Event()

    def source():
        for row in numbered([1] * 12):
            if next(read) == 5:
                second.set()
            yield row

    found = rows.batches(source(), 3)
    next(found)
    assert second.wait(30)
    assert next(read) == 6
    found.close()


def test_an_error_of_reading_reaches_the_reader():
    def source():
        yield Row("a", "0", b"")
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(rows.batches(source(), 3))
