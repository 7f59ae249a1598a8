"""Localizes the objects in images and folders of images: boxes as JSON and for annotation tools, and overlays.

  python -m ornet_tf.predict --config=configs/toybirds.py --workdir=runs/toybirds [--format=coco] IMAGE_OR_FOLDER...
"""
from __future__ import annotations

import os
from collections.abc import Sequence

from absl import flags, logging
from ml_collections import ConfigDict

from ornet_tf import app, formats, paths
from ornet_tf.errors import UserError


def main(
    config: ConfigDict,
    workdir: str,
    inputs: Sequence[str],
    *,
    format: Sequence[str] = (),
    min_score: float = 0.0,
    labels: str = "",
) -> None:
    """Predicts and logs where the results are. Images that fail are named at the end."""
    from ornet_tf.inference import prediction  # late, as importing TensorFlow takes seconds

    options = {"formats": format, "min_score": min_score, "labels": labels}
    count, failed = prediction.predict(config, workdir, inputs, **options)
    logging.info("%s lists the results (%d).", os.path.join(workdir, "predictions", "predictions.json"), count)
    if failed:
        details = " ".join(f"{paths.readable(path)}: {reason}" for path, reason in failed)
        raise UserError(f"{len(failed)} of {count + len(failed)} images failed. {details}")


def start() -> None:
    """Runs the program."""
    options = {
        "workdir": app.WORKDIR,
        "format": flags.DEFINE_list(
            "format", [], "Formats of annotation tools to write too, with commas between them; see docs/annotations.md."
        ),
        "min_score": flags.DEFINE_float(
            "min_score", 0.0, "Formats leave out boxes with a lower box score.", lower_bound=0.0, upper_bound=1.0
        ),
        "labels": flags.DEFINE_string(
            "labels", "", "A folder of folders that are called like classes: they give the classes of images in them."
        ),
    }
    flags.register_validator("format", formats.are_known)
    app.run(
        main,
        options=options,
        arguments="inputs",
        when_ended="the predictions so far, if any, are in --workdir, and the same command starts anew",
    )


if __name__ == "__main__":
    start()
