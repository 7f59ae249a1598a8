import unicodedata

import pytest

from ornet_tf.errors import UserError
from ornet_tf.inference.given_labels import Differences, GivenLabels

CLASSES = ["sparrow", "wren", "\u00e9tourneau"]


def entry(file, predicted="wren", **more):
    return {"file": file, "box": [0, 0, 1, 1], "score": 0.7, "class": 1, "class_name": predicted, **more}


def test_the_folder_below_the_common_one_is_the_class(tmp_path, monkeypatch):
    labels = GivenLabels(str(tmp_path), CLASSES)
    assert labels.of(f"{tmp_path}/wren/a.jpg") == labels.of(f"{tmp_path}/wren/2024/may/a.jpg") == "wren"
    monkeypatch.chdir(tmp_path / "..")
    assert labels.of(f"{tmp_path.name}/sparrow/a.jpg") == "sparrow"
    assert labels.of(f"{tmp_path}/{unicodedata.normalize('NFD', CLASSES[2])}/a.jpg") == CLASSES[2]


@pytest.mark.parametrize("file", ["a.jpg", "../elsewhere/a.jpg", "../a.jpg"])
def test_an_image_in_no_folder_of_a_class_is_refused(tmp_path, file):
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match="--labels: expected .*a.jpg in the folder of a class below "):
        GivenLabels(str(tmp_path / "images"), CLASSES).of(f"{tmp_path}/images/{file}")


def test_an_unknown_class_is_refused_with_those_of_the_run(tmp_path):
    with pytest.raises(UserError, match="in a folder 'owl', which is no class of the run; it has sparrow, wren, "):
        GivenLabels(str(tmp_path), CLASSES).of(f"{tmp_path}/owl/a.jpg")
    with pytest.raises(UserError, match=r"it has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\.\.$"):
        GivenLabels(str(tmp_path), [str(number) for number in range(11)]).of(f"{tmp_path}/owl/a.jpg")


def test_a_name_that_two_classes_share_is_ambiguous(tmp_path):
    names = ["crane", "wren", "crane"]
    assert GivenLabels(str(tmp_path), names).index(f"{tmp_path}/wren/a.jpg") == 1
    message = "'crane', the name of several classes of the run, so it is ambiguous; predict without --labels, or train"
    with pytest.raises(UserError, match=f"a.jpg is in a folder {message}"):
        GivenLabels(str(tmp_path), names).index(f"{tmp_path}/crane/a.jpg")
    with pytest.raises(UserError, match=f"line 2 has the class {message}"):
        GivenLabels(write_table(tmp_path, "file,class\na.jpg,crane"), names)


def test_all_objects_get_the_class_of_the_folder_and_keep_the_predicted_one(tmp_path):
    labels = GivenLabels(str(tmp_path), CLASSES)
    file, other = f"{tmp_path}/sparrow/a.jpg", {"box": [0, 0, 0.5, 0.5], "class": 1, "class_name": "wren"}
    changed = {"class": 0, "class_name": "sparrow", "predicted_class_name": "wren"}
    expected = {**entry(file), **changed, "others": [{**other, **changed}]}
    assert labels.apply(entry(file, others=[other])) == expected
    assert labels.apply(expected) == expected  # also of predictions that have been labelled before
    assert labels.apply(entry(f"{tmp_path}/wren/a.jpg"))["predicted_class_name"] == "wren"


def test_an_image_without_a_box_has_no_class(tmp_path):
    none = {"file": f"{tmp_path}/wren/a.jpg", "box": None}
    assert GivenLabels(str(tmp_path), CLASSES).apply(none) == none


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UserError, match="--labels: expected .*CSV file; there is nothing at .*labls.csv"):
        GivenLabels(str(tmp_path / "labls.csv"), CLASSES)


def write_table(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_table_gives_the_classes_of_files_relative_to_its_folder_or_absolute(tmp_path, monkeypatch):
    lines = ["\ufeffnumber,Class,FILE", "1,wren,a b.jpg", "", f"2,sparrow,{tmp_path}/deep/b.jpg", "3, wren ,a b.jpg"]
    labels = GivenLabels(write_table(tmp_path, "\n".join(lines)), CLASSES)
    monkeypatch.chdir(tmp_path / "..")
    assert labels.of(f"{tmp_path.name}/a b.jpg") == "wren"
    assert labels.of(f"{tmp_path}/deep/b.jpg") == "sparrow"
    with pytest.raises(UserError, match="--labels: expected a line for .*c.jpg in .*labels.csv; add one"):
        labels.of(f"{tmp_path}/c.jpg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns file,class in .*labels.csv, got nothing"),
        ("file,label\na.jpg,wren", "expected the columns file,class in .*labels.csv, got file,label"),
        ("file,class\na.jpg", "labels.csv, line 2: expected 2 cells, got 1"),
        ("file,class\na.jpg,owl", "labels.csv, line 2 has the class 'owl', which is no class of the run"),
        ("file,class\na.jpg,wren\na.jpg,sparrow", "line 3: expected one class for a.jpg, got wren, sparrow"),
        (b"file,class\na.jpg,\xff", "expected a CSV table in UTF-8, but .*labels.csv: "),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=f"^--labels: .*{message}"):
        GivenLabels(write_table(tmp_path, text), CLASSES)


def test_differences_are_listed(caplog):
    caplog.set_level("INFO", logger="absl")
    differences = Differences()
    differences.add(entry("same.jpg", predicted_class_name="wren"))
    differences.add(entry("unlabelled.jpg"))
    differences.add({"file": "none.jpg", "box": None})
    differences.log()
    assert caplog.text == ""
    for number in range(22):
        differences.add(entry(f"{number}.jpg", predicted_class_name="owl"))
    differences.log()
    assert "another class than the given one for 22 images" in caplog.text
    assert "\n  0.jpg: given wren, predicted owl\n" in caplog.text
    assert "\n  19.jpg: " in caplog.text and "20.jpg" not in caplog.text and "\n  and 2 more" in caplog.text
