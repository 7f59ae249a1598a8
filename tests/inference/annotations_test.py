"""Formats from a folder of predictions, and the program that writes them."""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from ornet_tf.errors import UserError
from ornet_tf.inference import annotations
from tests import source_tree
from tests.inference.written_predictions_test import entries, write


@pytest.fixture(name="predictions")
def _predictions(tmp_path):
    folder = tmp_path / "runs" / "mine" / "predictions"
    folder.mkdir(parents=True)
    return pathlib.Path(write(folder, entries(tmp_path)))


def coco(folder):
    return json.loads((folder / "annotations" / "instances_default.json").read_text())


def test_each_format_has_its_folder_beside_the_predictions(predictions):
    annotations.write(str(predictions), ["coco", "yolo"])
    assert sorted(path.name for path in predictions.iterdir()) == [
        ".class_names.json", "coco", "predictions.json", "yolo"
    ]  # fmt: skip
    assert len(coco(predictions / "coco")["annotations"]) == 3
    assert [category["name"] for category in coco(predictions / "coco")["categories"]] == ["sparrow", "wren", "eagle"]


def test_another_output_a_score_and_decisions(predictions, tmp_path):
    rejected = {"decisions": {entries(tmp_path)[2]["file"]: "rejected"}}
    (tmp_path / "decisions.json").write_text(json.dumps(rejected))
    options = {"min_score": 0.5, "decisions": str(tmp_path / "decisions.json"), "output": str(tmp_path / "out")}
    annotations.write(str(predictions), ["coco"], **options)
    content = coco(tmp_path / "out" / "coco")
    assert [image["file_name"] for image in content["images"]] == ["wren/a.jpg", "none.jpg"]
    assert [annotation["score"] for annotation in content["annotations"]] == [0.8]
    assert not (predictions / "coco").exists()


def test_options_reach_the_formats_that_have_them(predictions):
    annotations.write(str(predictions), ["label_studio", "csv"], image_prefix="https://a.example/")
    task = json.loads((predictions / "label_studio" / "tasks.json").read_text())[0]
    assert task["data"]["image"] == "https://a.example/wren/a.jpg"
    assert task["predictions"][0]["model_version"] == "mine"


def test_an_unknown_format_writes_nothing(predictions):
    with pytest.raises(UserError, match="--format: no plug-in 'vocc' in formats; choose one of .*Did you mean 'voc'"):
        annotations.write(str(predictions), ["coco", "vocc"])
    assert not (predictions / "coco").exists()


def run(*arguments, start=("-m", "ornet_tf.formats"), **environment):
    command = [sys.executable, "-X", "importtime", *start, *arguments]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, cwd=source_tree.ROOT, env=environment, capture_output=True, text=True, check=False)
    text = "".join(line for line in done.stderr.splitlines(True) if not line.startswith("import time:"))
    assert not re.search(r"\| +(tensorflow|keras)\n", done.stderr)
    assert "Traceback" not in text
    return done.returncode, text


@pytest.mark.slow
def test_the_program_writes_formats_without_tensorflow(predictions):
    status, text = run(f"--predictions={predictions}", "--format=coco,voc", "--min_score=0.3")
    assert status == 0 and re.search(r"voc describes 3 images below .*/birds\.", text), text
    assert [annotation["score"] for annotation in coco(predictions / "coco")["annotations"]] == [0.8, 0.4]


@pytest.mark.slow
def test_the_program_can_be_started_by_its_path(predictions):
    path = str(source_tree.ROOT / "ornet_tf" / "formats" / "__main__.py")
    flags = (f"--predictions={predictions}", "--format=csv")
    status, text = run(*flags, start=(path,), PYTHONPATH=str(source_tree.ROOT))
    assert status == 0 and (predictions / "csv" / "boxes.csv").exists(), text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format=coco,yollo"], "no plug-in 'yollo' in formats; choose one of coco, csv, jsonl, label_studio, "),
        (["--format=coco", "--min_score=1.5"], "flag --min_score=1.5: 1.5 is not a number in the range [0.0, 1.0]"),
        ([], "Flag --format must have a value"),
        (["--format="], "Error: --format: expected at least one of coco, csv, jsonl, label_studio, "),
        (["--format=coco", "more"], "Unexpected argument 'more'"),
        (["--format=coco", "--decisions=nowhere.json"], "nowhere.json: no such file; give the one that the page"),
        (["--format=coco", "--output=gs://a/b"], "Error: --output: expected a path of this machine, got 'gs://a/b'."),
        (["--format=coco", "--labels={file}"], "Error: --labels: expected "),
        (["--format=coco", "--output={file}"], "Error: {file}/coco could not be written: Not a directory."),
    ],
)  # fmt: skip
def test_the_program_refuses_in_one_sentence(predictions, flags, message):
    file = str(predictions / "predictions.json")
    status, text = run(f"--predictions={predictions}", *(flag.replace("{file}", file) for flag in flags))
    assert status == 1 and message.replace("{file}", file) in text
    assert not (predictions / "coco").exists()
