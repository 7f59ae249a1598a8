import json
from xml.etree import ElementTree

from ornet_tf.formats import label_studio
from tests.formats import birds


def written(tmp_path, **options):
    label_studio.write(iter(birds.images()), birds.CLASS_NAMES, str(tmp_path), **options)
    return json.loads((tmp_path / "tasks.json").read_text())


def test_the_first_task_is_the_golden_one(tmp_path):
    def region(number, x, y, width, height, score):
        value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["wren"]}
        return {
            "id": number, "type": "rectanglelabels", "from_name": "label", "to_name": "image", "original_width": 400,
            "original_height": 300, "image_rotation": 0, "value": value, "score": score,
        }  # fmt: skip

    assert written(tmp_path, model_version="run")[0] == {
        "data": {"image": "/data/local-files/?d=wren/a.jpg"},
        "predictions": [{
            "model_version": "run",
            "score": 0.25,
            "result": [region("1", 20, 10, 55, 40, 0.8), region("2", 50, 50, 50, 50, 0.25)],
        }],
    }  # fmt: skip


def test_all_boxes_of_an_image_are_in_one_prediction_and_nothing_is_an_annotation(tmp_path):
    tasks = written(tmp_path)
    assert all(task.keys() == {"data", "predictions"} and len(task["predictions"]) == 1 for task in tasks)
    assert [len(task["predictions"][0]["result"]) for task in tasks] == [2, 1, 1, 0]


def test_the_score_of_a_prediction_is_the_lowest_and_zero_without_a_box(tmp_path):
    scores = [task["predictions"][0].get("score") for task in written(tmp_path)]
    assert scores == [0.25, 0.6, None, 0.0]


def test_the_address_of_an_image_is_a_prefix_and_its_escaped_name(tmp_path):
    tasks = written(tmp_path, image_prefix="https://images.example/birds/")
    assert tasks[1]["data"] == {"image": "https://images.example/birds/sparrow/b.jpg"}
    image = birds.images()[3]
    odd = type(image)("x", "100 %/ü?.jpg", 1, 50, 50)
    label_studio.write([odd], [], str(tmp_path))
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert task["data"] == {"image": "/data/local-files/?d=100%20%25/%C3%BC%3F.jpg"}


def test_the_labelling_interface_has_the_classes_and_the_names_that_predictions_refer_to(tmp_path):
    tasks = written(tmp_path)
    root = ElementTree.parse(tmp_path / "label_config.xml").getroot()
    image, labels = root.find("Image"), root.find("RectangleLabels")
    assert [label.get("value") for label in labels] == birds.CLASS_NAMES
    for task in tasks:
        assert image.get("value") == "$" + next(iter(task["data"]))
        for region in task["predictions"][0]["result"]:
            assert region["to_name"] == image.get("name") == labels.get("toName")
            assert region["from_name"] == labels.get("name")
