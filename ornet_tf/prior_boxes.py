"""Finds boxes for a folder of images in a minute or two: learns the object prior from them, and trains no generator.

  python -m ornet_tf.prior_boxes --config=configs/object_prior.py --workdir=runs/boxes [--format=coco] FOLDER

Folders in FOLDER are classes. If images lie in FOLDER itself, or with --one_class, the images need no labels: all are
of one class, "object".
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict

from ornet_tf import app, predict
from ornet_tf.errors import UserError
from ornet_tf.runs import interruption, run_folder


def main(config: ConfigDict, workdir: str, inputs: Sequence[str], *, one_class: bool, **options) -> None:
    """Learns the prior unless the run has it, and predicts; `options` are those of `ornet_tf.predict`."""
    from ornet_tf.inference import folder_classes  # late, as importing TensorFlow takes seconds
    from ornet_tf.training.phases import train

    if len(inputs) != 1 or not os.path.isdir(inputs[0]):
        got = " ".join(inputs) + (", which is no folder" if len(inputs) == 1 else "")
        raise UserError(f"Expected one folder of images after the flags, got {got or 'nothing'}.")
    folder, labels = os.path.abspath(inputs[0]), ""
    one_class = one_class or not folder_classes.has_classes(folder)
    _claim(workdir, {"folder": folder, "one_class": one_class})
    if one_class:
        logging.info("All images below %s are of one class, %r.", folder, folder_classes.ONE_CLASS)
        config.dataset.options.root = folder_classes.link_as_one_class(folder, os.path.join(workdir, "images"))
        config.phase.evaluator.epochs = 0.0  # there is nothing to tell apart
    else:
        logging.info("The folders in %s are classes; --one_class treats all images alike.", folder)
        config.dataset.options.root = labels = folder
    train(config, workdir)
    logging.info(
        "The boxes will be those of the object prior. configs/few_pictures.py trains a generator on them in some "
        "minutes, which moved CorLoc by -6 to 4 points (docs/results.md, whole images)."
    )
    predict.main(config, workdir, inputs, labels=labels, **options)


def _claim(workdir: str, images: dict[str, Any]) -> None:
    """Binds a workdir to its images.

    Raises:
      UserError: if it is bound to others.
    """
    path = os.path.join(workdir, "prior_boxes.json")
    before = run_folder.read_json(path) if os.path.exists(path) else images
    if before != images:
        raise UserError(
            f"{workdir} has the prior of {before['folder']} (one class: {before['one_class']}), expected that of "
            f"{images['folder']} (one class: {images['one_class']}); choose another --workdir, or remove this one."
        )
    run_folder.write_json(path, images)


if __name__ == "__main__":
    app.run(
        main,
        options={
            "workdir": app.WORKDIR,
            "one_class": flags.DEFINE_bool("one_class", False, "Whether folders in FOLDER are not classes."),
            **predict.define_format_flags(),
        },
        arguments="inputs",
        when_ended=interruption.RESUMES,
    )
