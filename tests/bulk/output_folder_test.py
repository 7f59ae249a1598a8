import io
import os
import pickle

import pyarrow
import pytest
from pyarrow import parquet

from ornet_tf.bulk.output_folder import DETECTIONS, OutputFolder, shard_name
from ornet_tf.errors import UserError
from tests import forked_programs


@pytest.fixture(name="folder", params=["path", "store"])
def _folder(request, tmp_path):
    """An output folder on this machine, and the same as a store in which files are renamed."""
    folder = OutputFolder(str(tmp_path / "out") if request.param == "path" else f"fsspec+file://{tmp_path}/out")
    folder.create()
    return folder


def test_files_are_written_whole_and_replaced(tmp_path, folder):
    assert folder.read("a.json") is None
    folder.write("a.json", b"1")
    folder.write("a.json", b"two")
    assert folder.read("a.json") == b"two"
    assert sorted(os.listdir(tmp_path / "out")) == ["a.json", "detections", "partial"]
    assert os.listdir(tmp_path / "out" / "partial") == []


def test_files_and_shards_of_parts(folder):
    names = [f"/x/{i}.png" for i in range(4)] + [os.fsdecode(b"/x/\xff.png")]
    folder.write_files(names, 2)
    assert [folder.read_files(part) for part in range(3)] == [names[:2], names[2:4], names[4:]]
    table = pyarrow.table({"a": [1, 2], "b": ["x", "y"]}).replace_schema_metadata({"c": "d"})
    folder.write_shard(7, 12, table)
    shard = parquet.read_table(io.BytesIO(folder.read(f"{DETECTIONS}/{shard_name(7, 12)}")))
    assert shard.equals(table, check_metadata=True)
    assert folder.finished_parts(12) == {7}
    with pytest.raises(UserError, match="expected shards of 13 parts .* found part-00007-of-00012.parquet"):
        folder.finished_parts(13)


def test_what_was_half_written_is_removed_and_does_not_count(tmp_path, folder):
    folder.write_shard(0, 2, pyarrow.table({"a": [1]}))
    (tmp_path / "out" / "partial" / "part").write_text("half")
    folder.remove_partial()
    assert folder.finished_parts(2) == {0}
    assert os.listdir(tmp_path / "out" / "partial") == []


def test_attempts_are_counted_until_the_next_run(folder):
    assert [folder.count_attempt(3) for _ in range(12)] == [*range(1, 12), 11]
    assert folder.count_attempt(4) == 1
    folder.remove_partial()
    assert folder.count_attempt(3) == 1


def test_an_attempt_that_cannot_be_noted_names_its_file(tmp_path):
    folder = OutputFolder(str(tmp_path / "out"))
    folder.create()
    (tmp_path / "out" / "partial").rmdir()
    with pytest.raises(OSError) as error:
        folder.count_attempt(3)
    assert str(error.value).startswith(f"{tmp_path}/out/partial/attempt-3-1 could not be written: ")


def test_it_can_be_sent_to_other_processes(folder):
    folder.write("a", b"1")
    assert pickle.loads(pickle.dumps(folder)).read("a") == b"1"


def test_a_second_program_is_kept_out(tmp_path):
    folder = OutputFolder(str(tmp_path / "out"))
    folder.create()
    with folder.locked(), pytest.raises(UserError, match="another program writes to"), folder.locked():
        pass
    with folder.locked():
        pass


def test_a_name_that_is_no_utf_8_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--output: expected a name in UTF-8, got .*; name another folder."):
        OutputFolder(f"{tmp_path}/out\udcff")


def test_a_place_that_is_not_writable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="--output: .* could not be written: .* start the same command again"):
        OutputFolder(str(tmp_path / "file")).create()


@pytest.mark.slow
def test_a_write_that_fails_leaves_the_earlier_file(tmp_path):
    folder = OutputFolder(str(tmp_path))
    folder.create()
    folder.write("a", b"1")
    status, text = forked_programs.run_source(
        """
        import resource, signal, sys
        from ornet_tf.bulk.output_folder import OutputFolder
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            OutputFolder(sys.argv[1]).write("a", b"2" * 2000)
        except OSError as error:
            print(error)
        """,
        str(tmp_path),
    )
    assert status == 0 and "a could not be written: " in text and "it does only what is missing." in text
    assert folder.read("a") == b"1" and os.listdir(tmp_path / "partial") == []


def test_names_are_in_the_order_of_the_parts():
    assert shard_name(17, 120) == "part-00017-of-00120.parquet"
