"""The formats that a prediction writes at its end, however it ends."""
import json
import pathlib
import shutil

import pytest

from ornet_tf.errors import UserError
from ornet_tf.inference import prediction
from ornet_tf.runs import interruption, run_folder, training_data
from tests.inference.predicted import list_of

pytestmark = pytest.mark.usefixtures("kept_localizers")


@pytest.fixture(name="run")
def _run(tiny_run, tmp_path):
    """The configuration of the tiny run, and a copy of its workdir without predictions."""
    workdir = tmp_path / "run"
    shutil.copytree(tiny_run[1], workdir, ignore=shutil.ignore_patterns("export", "predictions", "evaluation"))
    return tiny_run[0], str(workdir)


def coco(workdir):
    path = pathlib.Path(workdir) / "predictions" / "coco" / "annotations" / "instances_default.json"
    return json.loads(path.read_text())


def test_formats_have_the_boxes_of_the_list_and_all_classes_of_the_run(run, image_folder):
    prediction.predict(*run, [str(image_folder)], formats=["coco", "yolo"])
    content, listed = coco(run[1]), list_of(run[1])
    assert [category["name"] for category in content["categories"]] == training_data.class_names(run[1])
    assert [image["file_name"] for image in content["images"]] == ["0.png", "1.png", "2.png"]
    assert {(image["width"], image["height"]) for image in content["images"]} == {(32, 32)}
    for entry, annotation in zip(listed, content["annotations"], strict=True):
        ymin, xmin, ymax, xmax = (32 * corner for corner in entry["box"])
        assert annotation["bbox"] == pytest.approx([xmin, ymin, xmax - xmin, ymax - ymin], abs=0.01)
        assert (annotation["score"], annotation["category_id"]) == (entry["box_score"], entry["class"] + 1)
    links = pathlib.Path(run[1]) / "predictions" / "yolo" / "images" / "train"
    assert (links / "1.png").read_bytes() == (image_folder / "inner" / "1.png").read_bytes()


def test_a_score_leaves_boxes_out_of_formats_and_not_of_the_list(run, image_folder):
    prediction.predict(*run, [str(image_folder)], formats=["coco"], min_score=1.0)
    scores = [entry["box_score"] for entry in list_of(run[1])]
    assert [annotation["score"] for annotation in coco(run[1])["annotations"]] == [one for one in scores if one == 1]
    assert len(scores) == len(coco(run[1])["images"]) == 3


def test_without_formats_only_predictions_are_written(run, image_folder):
    prediction.predict(*run, [str(image_folder)])
    folders = [path for path in (pathlib.Path(run[1]) / "predictions").iterdir() if path.is_dir()]
    assert folders == []
    classes = run_folder.read_json(f"{run[1]}/predictions/.class_names.json")
    assert classes == training_data.class_names(run[1])


def stop_at(call, monkeypatch):
    calls = []

    def check():
        calls.append(None)
        if len(calls) == call:
            raise interruption.Interrupted("stopped")

    monkeypatch.setattr(interruption, "check", check)


def test_a_run_that_is_stopped_writes_what_it_has(run, image_folder, monkeypatch):
    config = run[0].copy_and_resolve_references()
    config.evaluation.batch_size = 1
    prediction.predict(config, run[1], [str(image_folder)], formats=["coco"])
    assert len(coco(run[1])["images"]) == 3
    stop_at(2, monkeypatch)
    with pytest.raises(interruption.Interrupted):
        prediction.predict(config, run[1], [str(image_folder)], formats=["coco"])
    assert [image["file_name"] for image in coco(run[1])["images"]] == ["0.png", "1.png"]
    assert len(list_of(run[1])) == 2


def test_a_run_that_is_stopped_without_results_leaves_the_formats_of_the_earlier_one(run, image_folder, monkeypatch):
    prediction.predict(*run, [str(image_folder)], formats=["coco"])
    before = coco(run[1])
    for path in image_folder.rglob("*.png"):
        path.write_bytes(b"no image")
    with monkeypatch.context() as patched:
        stop_at(2, patched)
        with pytest.raises(interruption.Interrupted):
            prediction.predict(*run, [str(image_folder)], formats=["coco", "csv"])
    assert coco(run[1]) == before and not (pathlib.Path(run[1]) / "predictions" / "csv").exists()
    prediction.predict(*run, [str(image_folder)], formats=["coco"])  # to the end, where all images have failed
    assert coco(run[1])["images"] == []


def test_folders_give_the_classes_and_the_model_s_are_kept(run, image_folder, caplog):
    caplog.set_level("INFO", logger="absl")
    names = training_data.class_names(run[1])
    prediction.predict(*run, [str(image_folder)])
    predicted = [entry["class_name"] for entry in list_of(run[1])]
    label = next(name for name in names if name not in predicted[:1])
    (image_folder / "inner").rename(image_folder / label)
    prediction.predict(*run, [str(image_folder)], formats=["coco"], labels=str(image_folder))
    listed = list_of(run[1])
    assert {(entry["class_name"], entry["class"]) for entry in listed} == {(label, names.index(label))}
    assert [entry["predicted_class_name"] for entry in listed] == predicted
    assert {one["category_id"] for one in coco(run[1])["annotations"]} == {names.index(label) + 1}
    count = sum(name != label for name in predicted)
    assert f"than the given one for {count} images" in caplog.text
    assert f"0.png: given {label}, predicted {predicted[0]}" in caplog.text


def test_folders_that_are_no_classes_are_refused_before_anything_is_written(run, image_folder):
    with pytest.raises(UserError, match="in a folder 'inner', which is no class of the run"):
        prediction.predict(*run, [str(image_folder)], labels=str(image_folder))
    assert not (pathlib.Path(run[1]) / "predictions").exists()


def test_formats_leave_out_what_a_review_has_rejected(run, image_folder, tmp_path):
    prediction.predict(*run, [str(image_folder)])
    first, *others = list_of(run[1])
    decisions = tmp_path / "decisions.json"
    decisions.write_text(json.dumps({"decisions": {first["file"]: "rejected", others[0]["file"]: "accepted"}}))
    prediction.predict(*run, [str(image_folder)], formats=["coco"], decisions=str(decisions))
    assert [image["file_name"] for image in coco(run[1])["images"]] == ["1.png", "2.png"]
    decisions.write_text("[]")
    before = list_of(run[1])
    with pytest.raises(UserError, match="decisions.json"):  # before the first image
        prediction.predict(*run, [str(image_folder)], formats=["coco"], decisions=str(decisions))
    assert list_of(run[1]) == before


def test_decisions_about_other_images_are_refused_before_the_first_one(run, image_folder, tmp_path):
    decisions = tmp_path / "decisions.json"
    decisions.write_text(json.dumps({"decisions": {"elsewhere.png": "rejected"}}))
    with pytest.raises(UserError, match="--decisions: .* got one about 'elsewhere.png' .1 unknown in all."):
        prediction.predict(*run, [str(image_folder)], formats=["coco"], decisions=str(decisions))
    assert not (pathlib.Path(run[1]) / "predictions").exists()


def test_decisions_do_not_keep_a_stopped_run_from_writing_its_formats(run, image_folder, tmp_path, monkeypatch):
    prediction.predict(*run, [str(image_folder)])
    decisions = tmp_path / "decisions.json"
    accepted = {entry["file"]: "accepted" for entry in list_of(run[1])}
    decisions.write_text(json.dumps({"decisions": accepted}))
    options = {"formats": ["coco"], "decisions": str(decisions)}
    config = run[0].copy_and_resolve_references()
    config.evaluation.batch_size = 1
    with monkeypatch.context() as patched:
        stop_at(2, patched)
        with pytest.raises(interruption.Interrupted):
            prediction.predict(config, run[1], [str(image_folder)], **options)
    assert [image["file_name"] for image in coco(run[1])["images"]] == ["0.png", "1.png"]
    (image_folder / "inner" / "1.png").write_bytes(b"no image")
    count, failed = prediction.predict(config, run[1], [str(image_folder)], **options)
    assert (count, len(failed), len(coco(run[1])["images"])) == (2, 1, 2)


def test_formats_of_an_earlier_prediction_are_named(run, image_folder, caplog):
    prediction.predict(*run, [str(image_folder)], formats=["coco", "csv"])
    assert "earlier prediction" not in caplog.text
    prediction.predict(*run, [str(image_folder)], formats=["csv"])
    assert "coco is of an earlier prediction; remove it, or write it again" in caplog.text
    assert "csv is of an earlier" not in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decisions": "decisions.json"}, "--decisions: expected --format as well"),
        ({"formats": ["coco"], "min_score": float("nan")}, "--min_score: expected a number from 0 to 1, got nan"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_the_first_image(run, image_folder, options, message):
    with pytest.raises(UserError, match=message):
        prediction.predict(*run, [str(image_folder)], **options)
    assert not (pathlib.Path(run[1]) / "predictions").exists()
