import json

import numpy as np
import pytest

from ornet_tf.formats import coco
from tests.formats import birds


@pytest.fixture(name="path")
def _path(tmp_path):
    coco.write(iter(birds.images()), birds.CLASS_NAMES, str(tmp_path / "coco"))
    return tmp_path / "coco" / "annotations" / "instances_default.json"


def test_the_content_is_the_golden_one(path):
    content = json.loads(path.read_text())
    assert content["categories"] == [
        {"id": 1, "name": "sparrow & co", "supercategory": ""},
        {"id": 2, "name": "wren", "supercategory": ""},
        {"id": 3, "name": "eagle", "supercategory": ""},
    ]
    assert content["images"][0] == {"id": 1, "file_name": "wren/a.jpg", "width": 400, "height": 300}
    assert [image["id"] for image in content["images"]] == [1, 2, 3, 4]
    rest = {"segmentation": [], "iscrowd": 0}
    assert content["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 2, "bbox": [80, 30, 220, 120], "area": 26400, "score": 0.8, **rest},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [200, 150, 200, 150], "area": 30000, "score": 0.25, **rest},
        {"id": 3, "image_id": 2, "category_id": 1, "bbox": [40, 30, 100, 120], "area": 12000, "score": 0.6, **rest},
        {"id": 4, "image_id": 3, "category_id": 2, "bbox": [0, 0, 64, 48], "area": 3072, **rest},
    ]


def test_ids_do_not_depend_on_what_is_left_out(tmp_path):
    coco.write(birds.images()[1:2], birds.CLASS_NAMES, str(tmp_path))
    content = json.loads((tmp_path / "annotations" / "instances_default.json").read_text())
    assert [image["id"] for image in content["images"]] == [2]
    assert [annotation["id"] for annotation in content["annotations"]] == [3]


def test_pycocotools_reads_it(path):
    from pycocotools.coco import COCO

    dataset = COCO(str(path))
    assert dataset.getImgIds() == [1, 2, 3, 4]
    assert [category["name"] for category in dataset.loadCats(dataset.getCatIds())] == birds.CLASS_NAMES
    found = dataset.loadAnns(dataset.getAnnIds(imgIds=[1], catIds=[2]))
    assert [(one["bbox"], one["score"]) for one in found] == [([80, 30, 220, 120], 0.8), ([200, 150, 200, 150], 0.25)]
    assert dataset.getAnnIds(imgIds=[4]) == []


def test_the_boxes_and_scores_can_be_evaluated_by_pycocotools(path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    dataset = COCO(str(path))
    keys = ("image_id", "category_id", "bbox", "score")
    results = [{key: one[key] for key in keys} for one in dataset.dataset["annotations"] if "score" in one]
    evaluation = COCOeval(dataset, dataset.loadRes(results), "bbox")
    evaluation.params.imgIds = [1, 2]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_supervision_reads_boxes_of_upright_images(path, tmp_path):
    import supervision

    birds.write_files(tmp_path / "birds")
    dataset = supervision.DetectionDataset.from_coco(str(tmp_path / "birds"), str(path))
    assert dataset.classes == birds.CLASS_NAMES
    found = {name.partition("/birds/")[2]: (image, boxes) for name, image, boxes in dataset}
    assert list(found) == list(birds.SIZES)
    for image in birds.images():
        pixels, detections = found[image.name]
        assert pixels.shape[:2] == (image.height, image.width)
        expected = np.reshape([image.pixels(box) for box in image.boxes], [-1, 4])
        np.testing.assert_allclose(detections.xyxy, expected, atol=0.01)
        assert detections.class_id.tolist() == [box.class_index for box in image.boxes]
