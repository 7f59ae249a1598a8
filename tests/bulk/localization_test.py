import pytest

from ornet_tf.bulk import localization
from ornet_tf.bulk.output_folder import OutputFolder
from ornet_tf.errors import UserError
from tests.bulk import images


def answer(part, error="", *, is_fatal=False):
    return {"part": part, "rows": 10, "error": error, "is_fatal": is_fatal}


def test_all_parts_done(caplog):
    with caplog.at_level("INFO", logger="absl"):
        localization.follow([answer(n) for n in range(3)], 3)
    assert "3 of 3 parts, 30 rows, " in caplog.text


def test_a_part_that_fails_does_not_stop_the_others():
    answers = iter([answer(0, "No connection."), answer(1), answer(2)])
    with pytest.raises(UserError, match="1 of 3 parts failed, such as: No connection. Start the same command again"):
        localization.follow(answers, 3)
    assert list(answers) == []


def test_many_parts_that_fail_and_errors_of_all_parts_stop_the_run():
    answers = iter([answer(n, "No connection.") for n in range(100)])
    with pytest.raises(UserError, match="11 of 100 parts failed"):
        localization.follow(answers, 100)
    assert len(list(answers)) == 89
    answers = iter([answer(0), answer(1, "The disk is full.", is_fatal=True), answer(2)])
    with pytest.raises(UserError, match="^The disk is full.$"):
        localization.follow(answers, 3)
    assert len(list(answers)) == 1


def test_a_second_program_leaves_what_the_first_one_is_writing(tmp_path, bulk_export):
    pytest.importorskip("ray", reason="Ray is not installed: pip install '.[many]'")
    images.write_folder(tmp_path / "photos", 3)
    first = OutputFolder(str(tmp_path / "out"))
    first.create()
    with first.locked():
        first.count_attempt(0)
        with pytest.raises(UserError, match="another program writes to"):
            localization.run(bulk_export, str(tmp_path / "photos"), str(tmp_path / "out"), localization.Options())
        assert first.count_attempt(0) == 2
