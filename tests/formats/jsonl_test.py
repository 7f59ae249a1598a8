import dataclasses
import json

from ornet_tf.formats import jsonl
from tests.formats import birds


def test_the_lines_are_the_golden_ones(tmp_path):
    jsonl.write(iter(birds.images()), birds.CLASS_NAMES, str(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "boxes.jsonl").read_text().splitlines()]
    box = {"box": [0.1, 0.2, 0.5, 0.7], "box_pixels": [30.0, 40.0, 150.0, 140.0]}
    assert lines[1] == {
        "file": "birds/sparrow/b.jpg", "width": 200, "height": 300,
        "boxes": [{**box, "class": 0, "class_name": "sparrow & co", "box_score": 0.6}],
    }  # fmt: skip
    assert "box_score" not in lines[2]["boxes"][0]
    assert lines[3] == {"file": "birds/wren/none.jpg", "width": 50, "height": 50, "boxes": []}


def test_a_path_with_a_line_separator_is_one_line(tmp_path):
    image = dataclasses.replace(birds.images()[3], file="a\u2028\x85b.jpg")
    jsonl.write([image], [], str(tmp_path))
    (line,) = (tmp_path / "boxes.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["file"] == image.file
