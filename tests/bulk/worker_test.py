import errno
import os
import shutil

import pytest

from ornet_tf.bulk import columns, export_version, output_folder, report, rows, worker
from ornet_tf.bulk.shard_rows import Row
from ornet_tf.errors import ImageRefusedError, UserError
from tests import forked_programs
from tests.bulk import images


@pytest.fixture(name="job")
def _job(tmp_path, bulk_export):
    """A job of ten images in three parts."""
    images.write_folder(tmp_path / "photos", 10)
    return images.make_job(tmp_path / "photos", tmp_path / "out", bulk_export)


@pytest.fixture(name="loaded")
def _loaded(monkeypatch, bulk_model):
    """Workers get the export that the tests have loaded; TensorFlow's threads are set once in a process."""
    monkeypatch.setattr(worker, "load", lambda job: bulk_model)


def test_all_parts_equal_a_single_process(tmp_path, job, loaded, bulk_model):
    start = worker.Worker(job)
    answers = [start({"part": number}) for number in range(3)]
    assert answers == [
        {"part": n, "rows": rows, "error": "", "is_fatal": False} for n, rows in enumerate([4, 4, 2])
    ]
    paths = sorted(str(path) for path in (tmp_path / "photos").iterdir())
    assert images.read_output(tmp_path / "out") == images.expected_table(bulk_model, paths, job.plan.model_version)
    assert report.make(job.plan, job.output)["refused_by_reason"] == {"unsupported": 2}


def test_rows_without_bytes_do_not_reach_the_export(bulk_model):
    gone, large = Row("a", "a", None, "missing", "gone"), Row("c", "c", None, "too_large", "x")
    batch = [gone, Row("b", "b", images.png(1)), large]
    found = worker.localize(bulk_model, batch)
    assert [(one.path, one.status, one.reason) for one in found] == [
        ("a", "missing", "gone"), ("b", "ok", ""), ("c", "too_large", "x"),
    ]  # fmt: skip
    assert found[1].found.class_names == ("green",)


def test_an_old_export_that_refuses_a_whole_batch_refuses_one_row(bulk_model):
    class Old:
        def localize(self, contents, **options):
            if b"no image" in contents:
                raise ImageRefusedError("Unknown image file format")
            return bulk_model.localize(contents, **options)

    batch = [Row("a", "a", images.png(1)), Row("b", "b", b"no image"), Row("c", "c", images.png(2))]
    found = worker.localize(Old(), batch)
    assert [(one.status, one.reason) for one in found] == [
        ("ok", ""), ("refused", "Unknown image file format"), ("ok", ""),
    ]  # fmt: skip
    assert columns.table(found, "1@0").num_rows == 3


def failing(error):
    def fail(*_):
        raise error

    return fail


def test_errors_are_answers(monkeypatch, job, loaded):
    start = worker.Worker(job)
    with monkeypatch.context() as patch:
        patch.setattr(rows, "read", failing(OSError("no connection")))
        assert start({"part": 1}) == {"part": 1, "rows": 0, "error": "no connection", "is_fatal": False}
    with monkeypatch.context() as patch:
        patch.setattr(rows, "read", failing(UserError("no such field")))
        assert start({"part": 1})["is_fatal"]
    with monkeypatch.context() as patch:
        patch.setattr(output_folder.OutputFolder, "_put", failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        answer = start({"part": 1})
    assert answer["is_fatal"] and "No space left on device. Free some space and start the same" in answer["error"]
    assert job.output.finished_parts(3) == set()


def test_a_part_that_kills_its_workers_ends_the_run(job, loaded):
    for _ in range(output_folder.MOST_ATTEMPTS):
        job.output.count_attempt(2)
    answer = worker.Worker(job)({"part": 2})
    assert answer["is_fatal"] and "Part 2 has ended its worker 10 times" in answer["error"]


def test_an_export_that_is_gone_or_another(tmp_path, job, bulk_export):
    gone = worker.Worker(job._replace(export=str(tmp_path / "none")))
    assert gone({"part": 0})["is_fatal"]
    other = shutil.copytree(bulk_export, tmp_path / "other" / "7")
    (other / "assets.extra").mkdir()
    (other / "assets.extra" / "x").write_text("x")
    assert export_version.read(other) != job.plan.model_version
    answer = worker.Worker(job._replace(export=str(other)))({"part": 0})
    assert answer["is_fatal"] and "on every machine, but a worker found 7@" in answer["error"]


@pytest.mark.slow
def test_tensorflow_gets_its_threads(tmp_path, bulk_export):
    images.write_folder(tmp_path / "photos", 2)
    status, text = forked_programs.run_source(
        """
        import sys
        import tensorflow as tf
        from ornet_tf.bulk import worker
        from tests.bulk import images
        job = images.make_job(sys.argv[1] + "/photos", sys.argv[1] + "/out", sys.argv[2])._replace(threads=3)
        worker.load(job)
        threads = tf.config.threading
        print(threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads())
        """,
        str(tmp_path), str(bulk_export),
    )  # fmt: skip
    assert status == 0 and text.endswith("3 3\n"), text
