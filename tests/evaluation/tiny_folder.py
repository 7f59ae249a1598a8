"""Toy birds as a folder of files with a table of boxes, and an experiment with them that trains in seconds."""
import pathlib

from ml_collections import ConfigDict

from ornet_tf.data import loading
from tests import tiny_experiment

COUNT, SIDE = 48, 32


def write(root: pathlib.Path) -> ConfigDict:
    """Writes 48 images of three classes; returns an experiment whose test split is a quarter of them."""
    config = tiny_experiment.get_config()
    config.dataset.options.test_count = COUNT
    source = loading.load_source(config, "test")
    rows = ["file,ymin,xmin,ymax,xmax"]
    for number, (image, label, boxes) in enumerate(zip(source.images, source.labels, source.boxes)):
        name = f"{source.class_names[label]}/{number:02d}.png"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(image)
        rows += [",".join([name, *map(str, box)]) for box in boxes.tolist()]
    (root / "boxes.csv").write_text("\n".join(rows) + "\n")
    config.dataset = ConfigDict({"name": "image_folder", "options": {"root": str(root), "test_fraction": 0.25}})
    config.phase_order, config.training.summary_images = ("evaluator",), 0
    config.evaluation.update({"threshold_split": "", "gallery_images": 0, "cases": 0})
    config.evaluation.report_rows = ("centre_box", "cam")
    return config
