"""What a store does wrong is tried again; what is wrong in a shard is a row."""
import gzip

import fsspec
import pytest
from fsspec.implementations import local

from ornet_tf.bulk import inputs, shard_files, shard_rows, tar_rows, tfrecord_rows
from tests.bulk import images

CONTENTS = [images.png(n) * 900 for n in range(40)]
READERS = {"parquet": shard_rows.read_parquet, "tar": tar_rows.read, "tfrecord": tfrecord_rows.read}
NAMES = ["a.parquet", "a.tar", "a.tar.gz", "a.TAR.GZ", "a.tfrecord", "a.tfrecord.gz"]


class Store(local.LocalFileSystem):
    """A store over the disk whose connection breaks at some byte of a file."""

    protocol = "breaking"
    cachable = False
    breaks_at = -1
    error = OSError("AWS Error NETWORK_CONNECTION during GetObject operation")

    def _open(self, path, mode="rb", **options):
        return _Breaking(open(path, "rb"))


class _Breaking:
    def __init__(self, file):
        self._file = file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def read(self, size=-1):
        start = self._file.tell()
        content = self._file.read(size)
        if start <= Store.breaks_at < start + len(content):
            raise Store.error
        return content


@pytest.fixture(name="store")
def _store(monkeypatch):
    fsspec.register_implementation("breaking", Store, clobber=True)
    monkeypatch.setattr(Store, "breaks_at", -1)
    return monkeypatch


def write(path):
    kind = path.name.split(".")[1].lower()
    plain = path.with_name(f"plain.{kind}")
    if kind == "parquet":
        images.write_parquet(plain, {"image": CONTENTS}, 10)
    elif kind == "tar":
        images.write_tar(plain, [(f"{n}.png", content) for n, content in enumerate(CONTENTS)])
    else:
        images.write_tfrecord(plain, [{"image": content} for content in CONTENTS])
    content = plain.read_bytes()
    plain.unlink()
    path.write_bytes(gzip.compress(content, 0) if shard_files.is_gzipped(path.name) else content)
    return READERS[kind]


def read(reader, path):
    return [row for part in inputs.find(path, 100).parts for row in reader(part, shard_rows.Fields())]


@pytest.mark.parametrize("name", NAMES)
def test_a_store_gives_the_rows_of_the_disk(tmp_path, store, name):
    reader = write(tmp_path / name)
    for prefix in ("", "fsspec+breaking://"):
        assert [row.content for row in read(reader, f"{prefix}{tmp_path / name}")] == CONTENTS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [Store.error, RuntimeError("Session is closed"), EOFError("Corrupt")])
def test_a_failure_of_a_store_is_no_damage(tmp_path, store, name, error):
    reader = write(tmp_path / name)
    part, = inputs.find(f"fsspec+breaking://{tmp_path / name}", 100).parts
    store.setattr(Store, "error", error)
    store.setattr(Store, "breaks_at", (tmp_path / name).stat().st_size // 2)
    rows = []
    with pytest.raises(OSError, match=str(error)):
        for row in reader(part, shard_rows.Fields()):
            rows.append(row)
    assert [row.status for row in rows] == ["ok"] * len(rows)


@pytest.mark.parametrize("name", NAMES)
def test_a_shard_that_is_gone_is_no_damage(tmp_path, name):
    reader = write(tmp_path / name)
    part, = inputs.find(str(tmp_path / name), 100).parts
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError):
        list(reader(part, shard_rows.Fields()))
