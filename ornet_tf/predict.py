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


def main(config: ConfigDict, workdir: str, inputs: Sequence[str], *, format: Sequence[str] = (), **options) -> None:
    """Predicts and logs where the results are; `options` are those of `prediction.predict`.

    Images that fail are named at the end.
    """
    from ornet_tf.inference import prediction  # late, as importing TensorFlow takes seconds

    count, failed = prediction.predict(config, workdir, inputs, formats=format, **options)
    logging.info("%s lists the results (%d).", os.path.join(workdir, "predictions", "predictions.json"), count)
    if failed:
        details = " ".join(f"{paths.readable(path)}: {reason}" for path, reason in failed)
        raise UserError(f"{len(failed)} of {count + len(failed)} images failed. {details}")


def define_format_flags() -> dict[str, flags.FlagHolder]:
    """Defines the flags on formats; returns them by the keywords of `main`."""
    found = {
        "format": flags.DEFINE_list(
            "format", [], "Formats of annotation tools to write too, with commas between them; see docs/annotations.md."
        ),
        "min_score": flags.DEFINE_float(
            "min_score", 0.0, "Formats leave out boxes with a lower box score.", lower_bound=0.0, upper_bound=1.0
        ),
        "decisions": flags.DEFINE_string(
            "decisions", "", "A file with the decisions of a review: formats leave out the images that it rejects."
        ),
    }
    flags.register_validator("format", formats.are_known)
    return found


def start() -> None:
    """Runs the program."""
    labels = flags.DEFINE_string(
        "labels", "", "What gives the classes in place of the model: a folder of class folders, or a CSV file,class."
    )
    options = {"workdir": app.WORKDIR, "labels": labels, **define_format_flags()}
    app.run(
        main,
        options=options,
        arguments="inputs",
        when_ended="the predictions so far, if any, are in --workdir, and the same command starts anew",
    )


if __name__ == "__main__":
    start()
