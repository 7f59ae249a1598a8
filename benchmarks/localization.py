"""Trains configs/few_pictures.py on data in CUB's layout, and prints how well boxes fit, in the frame of whole images.

Folders given together are one data set. Each seed is a run in a folder of its own, which is taken up again if it is
there. With --validation six training images of each class are held out and measured; else it is the test images. What
stands after -- is handed on to training and evaluation. "best" is CorLoc at IoU 0.5 at the threshold that is best on
the measured images, and "spread" is over thresholds; all other figures are at the threshold 0.5. Beside ORNet stand
rows that need no training: a box in the centre, CAM and rivals that read maps from the classifier, and the prior.

  ORNET_VGG16=imagenet python -m benchmarks.localization --data=cub10 --workdir=runs/figures --seed=0 --seed=1
"""
from __future__ import annotations

import pathlib

import numpy as np
from absl import app, flags

from benchmarks import _runs

_DATA = flags.DEFINE_multi_string("data", None, "folders in CUB's layout", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the runs", required=True)
_SEEDS = flags.DEFINE_multi_integer("seed", [0], "seeds; can be given several times")
_VALIDATION = flags.DEFINE_bool("validation", False, "measure on held-out training images instead of test images")
_LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt")
_ROWS = ("centre_box", "cam", "grad_cam", "bag_cams", "pc1", "object_prior", "stage_one", "stage_two")
_COLUMNS = ("IoU 0.3", "0.5", "0.7", "mean of 3", "mean IoU", "best", "spread", "LocErr", "ClsErr", "AUROC")
_DECIMALS = {"mean IoU": 3, "AUROC": 3}


def merge(folders: list[pathlib.Path], merged: pathlib.Path) -> None:
    """Writes the lists of several folders in CUB's layout as those of one, and links their images."""
    lists: dict[str, list[str]] = {name: [] for name in (*_LISTS, "classes.txt")}
    (merged / "images").mkdir(parents=True, exist_ok=True)
    images = classes = 0
    for number, folder in enumerate(folders):
        rows = {name: [line.split() for line in (folder / name).read_text().splitlines()] for name in lists}
        image_of = {row[0]: images + i for i, row in enumerate(rows["images.txt"], start=1)}
        class_of = {row[0]: classes + i for i, row in enumerate(rows["classes.txt"], start=1)}
        images, classes = images + len(image_of), classes + len(class_of)
        lists["classes.txt"] += [f"{class_of[row[0]]} {row[1]}" for row in rows["classes.txt"]]
        for name in _LISTS:
            for image, *values in rows[name]:
                values = [f"{number}/{values[0]}"] if name == "images.txt" else values
                values = [str(class_of[values[0]])] if name == "image_class_labels.txt" else values
                lists[name].append(" ".join([str(image_of[image]), *values]))
        link = merged / "images" / str(number)
        link.unlink(missing_ok=True)
        link.symlink_to((folder / "images").resolve())
    for name, lines in lists.items():
        (merged / name).write_text("\n".join(lines) + "\n")


def run(data: pathlib.Path, workdir: pathlib.Path, seed: int, options: list[str]) -> dict[str, list[float]]:
    """Trains and evaluates; returns the figures of each row in the order of the columns."""
    split = "validation" if _VALIDATION.value else "test"
    shared = [
        "--config=configs/cub10.py", f"--config.evaluation.report_rows={_ROWS}", f"--config.seed={seed}",
        f"--config.dataset.options.validation_per_class={6 if _VALIDATION.value else 0}", *options,
    ]
    measured = [
        f"--config.evaluation.split={split}", "--config.evaluation.bootstrap_samples=0",
        "--config.evaluation.metric_options.corloc.frame=image",
    ]
    environment = {"ORNET_CUB10": str(data)}
    _runs.run("train", workdir, *shared, **environment)
    _runs.run("evaluate", workdir, *shared, *measured, **environment)
    found = {name: by_rule["largest"] for name, by_rule in _runs.figures(workdir).items()}
    return {
        name: [*values["corloc_by_iou"].values(), np.mean(list(values["corloc_by_iou"].values())),
               values["mean_iou"], values["corloc_best_on_evaluated_data"], values["corloc_spread"],
               values["locerr_top1"], values["clserr_top1"], values["box_score_auroc"]]
        for name, values in found.items()
    }


def show(title: str, figures: dict[str, list[float]]) -> None:
    """Prints a table."""
    print(f"{title:<20}" + "".join(f"{column:>11}" for column in _COLUMNS))
    for name, values in figures.items():
        cells = (
            f"{'-':>11}" if value is None or np.isnan(value) else f"{value:>11.{_DECIMALS.get(column, 1)}f}"
            for column, value in zip(_COLUMNS, values)
        )
        print(f"{name:<20}" + "".join(cells), flush=True)


def main(arguments: list[str]) -> None:
    """Trains and measures each seed, and prints the means."""
    workdir = pathlib.Path(_WORKDIR.value)
    merge([pathlib.Path(folder) for folder in _DATA.value], workdir / "data")
    found = []
    for seed in _SEEDS.value:
        found.append(run((workdir / "data").resolve(), workdir / f"seed{seed}", seed, arguments[1:]))
        show(f"seed {seed}", found[-1])
    if len(found) > 1:
        means = {name: list(np.mean(np.float64([each[name] for each in found]), axis=0)) for name in found[0]}
        show(f"mean of {len(found)}", means)


if __name__ == "__main__":
    app.run(main)
