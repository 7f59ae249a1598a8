import json
import os
import pathlib

import pytest

from ornet_tf.errors import UserError
from ornet_tf.inference import prediction_files
from ornet_tf.inference.written_predictions import WrittenPredictions, read_decisions


def found(corners, score=0.5, label=1, name="wren"):
    return {"box": corners, "box_score": score, "score": 0.9, "class": label, "class_name": name}


def entries(root):
    size = {"width": 40, "height": 30}
    second = found([0.5, 0.5, 1.0, 1.0], 0.2)
    return [
        {"file": f"{root}/birds/wren/a.jpg", **size, **found([0.1, 0.2, 0.5, 0.75], 0.8), "others": [second]},
        {"file": f"{root}/birds/none.jpg", **size, "box": None},
        {"file": f"{root}/birds/sparrow/b.jpg", **size, **found([0.0, 0.0, 1.0, 1.0], 0.4, 0, "sparrow")},
    ]


def write(folder, listed, class_names=("sparrow", "wren", "eagle")):
    lines = ",\n".join(json.dumps(entry) for entry in listed)
    (folder / "predictions.json").write_text(f"[\n{lines}\n]\n")
    if class_names:
        (folder / prediction_files.CLASS_NAMES).write_text(json.dumps(class_names))
    return str(folder)


def test_entries_become_images_named_below_the_folder_of_all(tmp_path):
    images = WrittenPredictions(write(tmp_path, entries(tmp_path)))
    assert (images.count, images.folder) == (3, f"{tmp_path}/birds")
    assert images.class_names == ["sparrow", "wren", "eagle"]
    first, none, last = images
    assert [image.name for image in (first, none, last)] == ["wren/a.jpg", "none.jpg", "sparrow/b.jpg"]
    assert (first.file, first.width, first.height) == (f"{tmp_path}/birds/wren/a.jpg", 40, 30)
    assert [(box.corners, box.class_index, box.score) for box in first.boxes] == [
        ((0.1, 0.2, 0.5, 0.75), 1, 0.8), ((0.5, 0.5, 1.0, 1.0), 1, 0.2)
    ]  # fmt: skip
    assert none.boxes == () and last.boxes[0].class_name == "sparrow"


def test_each_iteration_reads_anew(tmp_path):
    images = WrittenPredictions(write(tmp_path, entries(tmp_path)))
    assert list(images) == list(images)


def test_boxes_below_the_score_are_left_out_and_numbers_stay(tmp_path):
    images = WrittenPredictions(write(tmp_path, entries(tmp_path)), min_score=0.4)
    assert [[box.number for box in image.boxes] for image in images] == [[1], [], [3]]
    assert [image.number for image in images] == [1, 2, 3]


def test_rejected_images_are_left_out_altogether(tmp_path):
    listed = entries(tmp_path)
    decisions = {listed[0]["file"]: "rejected", listed[1]["file"]: "accepted"}
    images = WrittenPredictions(write(tmp_path, listed), decisions=decisions)
    assert [(image.number, image.name) for image in images] == [(2, "none.jpg"), (3, "sparrow/b.jpg")]
    assert images.count == 2 and [box.number for image in images for box in image.boxes] == [3]


def test_an_image_that_was_predicted_twice_is_given_once(tmp_path):
    listed = entries(tmp_path)
    images = WrittenPredictions(write(tmp_path, [*listed, listed[0]]))
    assert [image.number for image in images] == [1, 2, 3] and images.count == 3


def test_a_decision_about_an_unknown_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"got one about 'nowhere.jpg' \(1 unknown in all\); use the decisions of"):
        WrittenPredictions(write(tmp_path, entries(tmp_path)), decisions={"nowhere.jpg": "accepted"})


def test_without_a_list_of_classes_those_of_the_boxes_are_taken(tmp_path):
    listed = [*entries(tmp_path)[:2], {**entries(tmp_path)[2], **found([0, 0, 1, 1], 0.5, 3, "owl")}]
    assert WrittenPredictions(write(tmp_path, listed, ())).class_names == ["class_0", "wren", "class_2", "owl"]


def test_boxes_without_a_class_are_objects(tmp_path):
    listed = [{"file": "a.jpg", "width": 4, "height": 3, "box": [0, 0, 1, 1], "box_score": 0.5}]
    images = WrittenPredictions(write(tmp_path, listed, ()))
    assert images.class_names == ["object"] and next(iter(images)).boxes[0].class_name == "object"


@pytest.mark.parametrize("class_names", [["wren"], ["wren", "sparrow"], ["sparrow"], ["sparrow", "wren"]])
def test_a_class_that_is_not_listed_at_its_index_is_refused(tmp_path, class_names):
    listed = entries(tmp_path)
    if class_names == ["sparrow", "wren"]:
        listed[2].update(found([0.0, 0.0, 1.0, 1.0], 0.4, 1, "sparrow"))
    with pytest.raises(UserError, match="has '(sparrow|wren)' as class [01], which .*class_names.json or another box "):
        WrittenPredictions(write(tmp_path, listed, class_names))


def test_without_a_list_two_names_of_one_class_are_refused(tmp_path):
    listed = [*entries(tmp_path), {**entries(tmp_path)[2], "file": "c.jpg", **found([0, 0, 1, 1], 0.5, 1, "owl")}]
    with pytest.raises(UserError, match="has '(wren|owl)' as class 1, which .* or another box contradicts"):
        WrittenPredictions(write(tmp_path, listed, ()))


def test_classes_that_share_a_name_keep_their_indices(tmp_path):
    size, whole = {"width": 4, "height": 3}, [0, 0, 1, 1]
    listed = [{"file": f"{label}.jpg", **size, **found(whole, 0.5, label, "crane")} for label in (0, 2)]
    images = WrittenPredictions(write(tmp_path, listed, ["crane", "wren", "crane"]))
    assert [image.boxes[0].class_index for image in images] == [0, 2]


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.1])
def test_a_score_that_is_no_fraction_is_refused(tmp_path, score):
    with pytest.raises(UserError, match=f"--min_score: expected a number from 0 to 1, got {score}."):
        WrittenPredictions(write(tmp_path, entries(tmp_path)), min_score=score)


def test_a_score_to_filter_by_must_be_there(tmp_path):
    listed = [{"file": "a.jpg", "width": 4, "height": 3, "box": [0, 0, 1, 1]}]
    images = WrittenPredictions(write(tmp_path, listed, ()), min_score=0.1)
    with pytest.raises(UserError, match="has boxes without a score"):
        list(images)


def test_the_lines_of_a_killed_run_are_read_without_the_last_half(tmp_path):
    lines = "".join(json.dumps(entry) + "\n" for entry in entries(tmp_path))
    (tmp_path / "predictions.jsonl").write_text(lines + '{"file": "half')
    assert [image.number for image in WrittenPredictions(str(tmp_path))] == [1, 2, 3]


def test_a_folder_without_predictions_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no predictions.json or predictions.jsonl; give the folder that"):
        WrittenPredictions(str(tmp_path))


@pytest.mark.parametrize(
    "line",
    ["nothing", "3", "{}", '{"file": 3, "box": null}', '{"file": "a", "box": [1, 2]}', '{"file": "a", "box": "abcd"}',
     '{"file": "a", "box": [0, 0, 1, 1], "class": -1}', '{"file": "a", "box": [0, 0, 1, 1], "class": "1"}',
     '{"file": "a", "box": [0, 0, 1, 1], "class_name": 1}',
     '{"file": "a", "box": null, "width": 3, "height": 4, "others": 3}]'],
)  # fmt: skip
def test_what_is_no_entry_is_named_with_its_line(tmp_path, line):
    (tmp_path / "predictions.json").write_text(f"[\n{line}\n]\n")
    with pytest.raises(UserError, match="predictions.json, line 2: expected an entry that ornet_tf.predict wrote, got"):
        WrittenPredictions(str(tmp_path))


def test_an_entry_of_an_earlier_version_is_refused(tmp_path):
    listed = [{"file": "a.jpg", "box": [0, 0, 1, 1]}]
    with pytest.raises(UserError, match="line 2: expected width and height of 'a.jpg'.*so predict again"):
        WrittenPredictions(write(tmp_path, listed))


def test_images_that_are_not_found_are_counted(tmp_path, caplog):
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "none.jpg").write_text("")
    WrittenPredictions(write(tmp_path, entries(tmp_path)))
    assert "2 of 3 images are not found from this folder" in caplog.text
    for entry in entries(tmp_path):
        path = pathlib.Path(entry["file"])
        path.parent.mkdir(exist_ok=True)
        path.touch()
    caplog.clear()
    WrittenPredictions(str(tmp_path))
    assert caplog.text == ""


def test_a_file_whose_name_is_not_utf8_is_found(tmp_path, caplog):
    pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9\xc3\xa9.jpg")).touch()
    file = f"{tmp_path}/\\xff\\xe9é.jpg"
    (image,) = WrittenPredictions(write(tmp_path, [{"file": file, "width": 4, "height": 3, "box": None}]))
    assert (image.file, image.name) == (file, "\\xff\\xe9é.jpg") and caplog.text == ""


@pytest.mark.parametrize("odd", ["\n", "\x01", "\x7f", "\x85", "\u2028", "\u2029", "\uffff"])
def test_names_are_given_in_one_line(tmp_path, odd):
    listed = [{"file": f"birds/a{odd}b.jpg", "width": 4, "height": 3, **found([0, 0, 1, 1], name=f"w{odd}n")}]
    images = WrittenPredictions(write(tmp_path, listed, ["sparrow", f"w{odd}n"]))
    (image,) = images
    assert images.class_names == ["sparrow", "w_n"] and image.boxes[0].class_name == "w_n"
    assert (image.file, image.name) == (f"birds/a{odd}b.jpg", "a_b.jpg")


def test_decisions_are_read(tmp_path):
    decisions = {"a.jpg": "accepted", "b.jpg": "rejected"}
    (tmp_path / "decisions.json").write_text(json.dumps({"decisions": decisions, "version": 1}))
    assert read_decisions(str(tmp_path / "decisions.json")) == decisions


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"decisions": {"a.jpg": "maybe"}}', r"expected 'accepted' or 'rejected' for 'a.jpg', got 'maybe'\."),
        ('{"decisions": {"a.jpg": ["rejected"]}}', r"for 'a.jpg', got \['rejected'\]\."),
        ("[]", "expected .*'decisions': .*, got other JSON"),
        ('{"decisions": []}', "expected .*'decisions': .*, got other JSON"),
        ("{", "can't be read"),
    ],
)
def test_wrong_decisions_are_refused(tmp_path, content, message):
    (tmp_path / "decisions.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_decisions(str(tmp_path / "decisions.json"))


def test_folders_can_give_the_classes(tmp_path, caplog):
    (tmp_path / "birds").mkdir(exist_ok=True)
    caplog.set_level("INFO", logger="absl")
    listed = entries(tmp_path)
    listed[0]["file"] = f"{tmp_path}/birds/eagle/a.jpg"
    listed[1]["file"] = f"{tmp_path}/birds/eagle/none.jpg"
    images = WrittenPredictions(write(tmp_path, listed), labels=f"{tmp_path}/birds")
    assert [[(box.class_index, box.class_name) for box in image.boxes] for image in images] == [
        [(2, "eagle")] * 2, [], [(0, "sparrow")]
    ]  # fmt: skip
    assert "for 1 images" in caplog.text and "birds/eagle/a.jpg: given eagle, predicted wren" in caplog.text


def test_folders_that_are_no_classes_are_refused(tmp_path):
    (tmp_path / "birds").mkdir(exist_ok=True)
    folder = write(tmp_path, entries(tmp_path))
    with pytest.raises(UserError, match="expected .*birds/none.jpg in the folder of a class below"):
        WrittenPredictions(folder, labels=f"{tmp_path}/birds")
    (tmp_path / prediction_files.CLASS_NAMES).unlink()
    with pytest.raises(UserError, match="--labels: .*class_names.json is missing, so the classes of the run"):
        WrittenPredictions(folder, labels=f"{tmp_path}/birds")
