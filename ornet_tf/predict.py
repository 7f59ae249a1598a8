"""Localizes the objects in images and folders of images: boxes as JSON, and overlays.

  python -m ornet_tf.predict --config=configs/toybirds.py --workdir=runs/toybirds IMAGE_OR_FOLDER...
"""
from __future__ import annotations

import os
from collections.abc import Sequence

from absl import logging
from ml_collections import ConfigDict

from ornet_tf import app, paths
from ornet_tf.errors import UserError


def main(config: ConfigDict, workdir: str, inputs: Sequence[str]) -> None:
    """Predicts and logs where the results are. Images that fail are named at the end."""
    from ornet_tf.inference import prediction  # late, as importing TensorFlow takes seconds

    count, failed = prediction.predict(config, workdir, inputs)
    logging.info("%s lists the results (%d).", os.path.join(workdir, "predictions", "predictions.json"), count)
    if failed:
        details = " ".join(f"{paths.readable(path)}: {reason}" for path, reason in failed)
        raise UserError(f"{len(failed)} of {count + len(failed)} images failed. {details}")


def start() -> None:
    """Runs the program."""
    app.run(
        main,
        options={"workdir": app.WORKDIR},
        arguments="inputs",
        when_ended="the predictions so far, if any, are in --workdir, and the same command starts anew",
    )


if __name__ == "__main__":
    start()
