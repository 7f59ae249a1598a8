"""Trains configs/few_pictures.py on images of one object each, and measures its boxes on images of several objects.

The first folder has CUB's layout; its training images are used. The second one has a folder for each class and a
boxes.csv. A finished run in the workdir is measured again without training. Boxes are in the frame of whole images; the
threshold is 0.5.

  ORNET_VGG16=imagenet python -m benchmarks.several_objects --train=things7 --several=several --workdir=runs/several
"""
from __future__ import annotations

import os
import pathlib

from absl import app, flags

from benchmarks import _runs

_TRAIN = flags.DEFINE_string("train", None, "folder in CUB's layout", required=True)
_SEVERAL = flags.DEFINE_string("several", None, "folder with a folder for each class and boxes.csv", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run", required=True)
_ROWS = ("cam", "object_prior", "stage_one", "stage_two")
_FIGURES = ("recall_of_largest", "recall", "average_precision")


def link_images(train: pathlib.Path, several: pathlib.Path, root: pathlib.Path) -> None:
    """Makes an image folder: the training images in CUB's layout are train/, the other images are test/."""
    images, is_training = (
        dict(line.split(maxsplit=1) for line in (train / name).read_text(encoding="utf-8").splitlines())
        for name in ("images.txt", "train_test_split.txt")
    )
    for path in list(root.rglob("*")):
        if path.is_symlink():  # of an earlier run
            path.unlink()
    for key in (key for key in images if is_training[key] == "1"):
        link = root / "train" / images[key].split(".", 1)[1]  # without the number of the class
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((train / "images" / images[key]).resolve())
    (root / "test").symlink_to(several.resolve())


def main(_) -> None:
    """Trains, measures with and without splitting, and prints a table in percent."""
    workdir = pathlib.Path(_WORKDIR.value)
    link_images(pathlib.Path(_TRAIN.value), pathlib.Path(_SEVERAL.value), workdir / "images")
    shared = (
        "--config=configs/few_pictures.py", f"--config.dataset.options.root={workdir.resolve()}/images",
        "--config.dataset.options.test_fraction=0.0",
        f"--config.backbone.options.weights={os.environ.get('ORNET_VGG16', 'imagenet')}",
    )
    _runs.run("train", workdir, *shared)
    print(f"{'row':<14}{'split':>7}" + "".join(f"{name:>20}" for name in _FIGURES))
    for split in (False, True):
        options = "--config.evaluation.metric_options.several_boxes"
        _runs.run(
            "evaluate", workdir, *shared, "--config.evaluation.metrics=('several_boxes',)", f"{options}.frame=image",
            f"{options}.split={split}", f"--config.evaluation.report_rows={_ROWS}",
        )
        for name, values in _runs.figures(workdir).items():
            figures = values["several"]
            print(f"{name:<14}{split!s:>7}" + "".join(f"{figures[key]:>20.1f}" for key in _FIGURES), flush=True)


if __name__ == "__main__":
    app.run(main)
