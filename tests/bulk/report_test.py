import numpy as np
import pytest

from ornet_tf.bulk import columns, plan, report
from ornet_tf.bulk.output_folder import OutputFolder
from ornet_tf.errors import UserError
from ornet_tf.inference.detections import Detections
from tests.bulk import images

FOUND = Detections(np.zeros([1, 4], np.float32), np.ones([1], np.float32), np.array([0]), ("a",))
NOTHING = Detections(np.zeros([0, 4], np.float32), np.zeros([0], np.float32), np.zeros([0], np.int64), ())


def table(statuses_and_found):
    return columns.table([columns.Result("a", "a", found, status) for status, found in statuses_and_found], "7@0")


@pytest.fixture(name="run")
def _run(tmp_path):
    """A plan of two parts of 3 and 2 rows whose shards are there, and its folder."""
    images.write_folder(tmp_path / "photos", 5)
    made, found = images.make_plan(tmp_path / "photos", part_size=3)
    folder = OutputFolder(str(tmp_path / "out"))
    folder.create()
    plan.store(made, found.files, folder)
    first = [("ok", FOUND), ("ok", NOTHING), ("damaged", None)]
    for number, rows in enumerate([first, [("damaged", None), ("missing", None)]]):
        folder.write_shard(number, 2, report.with_rows_read(table(rows), len(rows)))
    return made, folder


def test_the_counts_add_up(tmp_path, run):
    found = report.make(*run)
    assert found == {
        "rows_in": 5, "rows_out": 5, "with_box": 1, "without_object": 1, "refused": 3,
        "refused_by_reason": {"missing": 1, "damaged": 2}, "damaged_shards": [], "parts": 2,
        "input": str(tmp_path / "photos"), "model_version": "7@0",
    }  # fmt: skip
    text = "5 rows in, 5 rows out: 1 with a box, 1 without an object, 3 refused (1 missing, 2 damaged; "
    assert report.as_text(found) == f"{text}see the column status)."
    report.write(found, run[1])
    assert b'"rows_in": 5' in run[1].read("report.json")


def test_nothing_refused():
    counts = dict.fromkeys(("rows_in", "rows_out", "with_box", "without_object", "refused"), 0)
    text = report.as_text({**counts, "refused_by_reason": {}, "damaged_shards": []})
    assert text.endswith("0 without an object, 0 refused.")


def damage(folder, tmp_path):
    del folder
    path = tmp_path / "out" / "detections" / "part-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder, path: folder.write_shard(1, 2, report.with_rows_read(table([("ok", FOUND)]), 1)),
            "Expected 2 rows in part-00001-of-00002.parquet, but it has 1; remove it from",
        ),
        (
            lambda folder, path: folder.write_shard(1, 2, table([("ok", FOUND)] * 2)),
            "Expected part-00001-of-00002.parquet to note 2 rows of the input, but it notes nothing; remove it from",
        ),
        (
            lambda folder, path: folder.write_shard(1, 2, report.with_rows_read(table([("ok", FOUND)] * 2), 7)),
            "Expected part-00001-of-00002.parquet to note 2 rows of the input, but it notes 7; remove it from",
        ),
        (
            lambda folder, path: folder.write_shard(1, 2, table([("ok", FOUND)] * 2).drop(["status"])),
            "Expected a readable shard part-00001-of-00002.parquet, but it is damaged",
        ),
        (
            lambda folder, path: folder.write_shard(1, 2, report.with_rows_read(table([("odd", None)] * 2), 2)),
            "each of 5 rows of the input, but 3 of 5 have a known status",
        ),
        (damage, "Expected a readable shard part-00001-of-00002.parquet, but it is damaged"),
        (
            lambda folder, path: (path / "out" / "detections" / "part-00001-of-00002.parquet").unlink(),
            "Expected the shard part-00001-of-00002.parquet, but it is gone",
        ),
    ],
)
def test_numbers_that_do_not_add_up_fail(tmp_path, run, change, message):
    change(run[1], tmp_path)
    with pytest.raises(UserError, match=message):
        report.make(*run)


def test_damaged_shards_are_named(run):
    made, folder = run
    folder.write_shard(1, 2, report.with_rows_read(table([("ok", NOTHING), ("damaged_shard", None)]), 2))
    found = report.make(made, folder)
    assert found["damaged_shards"] == ["a"]
    assert report.as_text(found).endswith(" Damaged shards, whose further rows may not have been read: 1.")


def test_each_damage_of_an_output_shard_is_a_sentence_with_its_name(tmp_path, run):
    path = tmp_path / "out" / "detections" / "part-00001-of-00002.parquet"
    good = path.read_bytes()
    errors = []
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :])
        try:
            report.make(*run)
        except UserError as error:
            errors.append(str(error))
    assert len(errors) > 20
    assert [e for e in errors if "part-00001-of-00002.parquet" not in e and "a known status" not in e] == []
