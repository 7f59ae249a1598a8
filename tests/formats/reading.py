"""Reads each format back: `read` returns name of the image -> (class, (xmin, ymin, xmax, ymax) in pixels) of boxes."""
import csv
import json
import pathlib
import urllib.parse
from xml.etree import ElementTree

import yaml

from ornet_tf.datasets import _pascal_voc
from ornet_tf.formats import label_studio


def read(name, folder, sizes):
    """Reads a format; `sizes` is name -> (height, width)."""
    return _READERS[name](pathlib.Path(folder), sizes)


def precision(name, height, width):
    """The largest difference of a coordinate, in pixels, that the format's rounding makes."""
    side = max(height, width)
    return {"voc": 1.0, "yolo": 1.01e-6 * side, "label_studio": 1.01e-6 * side}.get(name, 0.0101)


def _coco(folder, sizes):
    content = json.loads((folder / "annotations/instances_default.json").read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in content["categories"]}
    images = {image["id"]: image["file_name"] for image in content["images"]}
    found = {name: [] for name in images.values()}
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        found[images[annotation["image_id"]]].append((names[annotation["category_id"]], (x, y, x + width, y + height)))
    return found


def _label_studio(folder, sizes):
    found = {}
    for task in json.loads((folder / "tasks.json").read_text(encoding="utf-8")):
        name = urllib.parse.unquote(task["data"]["image"].removeprefix(label_studio.LOCAL_FILES))
        (prediction,) = task["predictions"]
        found[name] = []
        for region in prediction["result"]:
            x, y, w, h = (region["value"][key] / 100 for key in ("x", "y", "width", "height"))
            width, height = region["original_width"], region["original_height"]
            (label,) = region["value"]["rectanglelabels"]
            found[name].append((label, (x * width, y * height, (x + w) * width, (y + h) * height)))
    return found


def _yolo(folder, sizes):
    config = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    found = {}
    for line in (folder / config["train"]).read_text(encoding="utf-8").splitlines():
        image = folder / line
        # As Ultralytics does: the last folder `images` in the path becomes `labels`.
        head, tail = str(image).rsplit("/images/", 1)
        text = pathlib.Path(f"{head}/labels/{tail}").with_suffix(".txt").read_text(encoding="utf-8")
        name = str(image.readlink()).split("/birds/", 1)[1]
        height, width = sizes[name]
        found[name] = []
        for row in text.splitlines():
            label, x, y, w, h = row.split()
            x, w, y, h = float(x) * width, float(w) * width, float(y) * height, float(h) * height
            found[name].append((config["names"][int(label)], (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
    return found


def _voc(folder, sizes):
    found = {}
    for stem in (folder / "ImageSets/Main/train.txt").read_text(encoding="utf-8").splitlines():
        path = folder / "Annotations" / f"{stem}.xml"
        annotation = _pascal_voc.read(path)
        boxes = annotation.boxes - (1, 1, 1, 1)  # that reader counts from 0
        name = ElementTree.parse(path).findtext("filename")
        found[name] = [(label, (x0, y0, x1, y1)) for label, (y0, x0, y1, x1) in zip(annotation.names, boxes.tolist())]
    return found


def _csv(folder, sizes):
    found = {}
    with open(folder / "boxes.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            boxes = found.setdefault(row["file"].removeprefix("birds/"), [])
            if row["xmin"]:
                boxes.append((row["class_name"], tuple(float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax"))))
    return found


def _jsonl(folder, sizes):
    found = {}
    for line in (folder / "boxes.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        boxes = [(box["class_name"], box["box_pixels"]) for box in entry["boxes"]]
        found[entry["file"].removeprefix("birds/")] = [(name, (x0, y0, x1, y1)) for name, (y0, x0, y1, x1) in boxes]
    return found


_READERS = {
    "coco": _coco, "label_studio": _label_studio, "yolo": _yolo, "voc": _voc, "csv": _csv, "jsonl": _jsonl
}  # fmt: skip
