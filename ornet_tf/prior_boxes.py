"""Finds boxes for a folder of images in a minute or two: learns the object prior from them, and trains no generator.

  python -m ornet_tf.prior_boxes --config=configs/object_prior.py --workdir=runs/boxes [--format=coco] FOLDER

Folders in FOLDER are classes. If images lie in FOLDER itself, or with --one_class, the images need no labels: all are
of one class, "object".
"""
from __future__ import annotations

import os
from collections.abc import Sequence

from absl import flags, logging
from ml_collections import ConfigDict

from ornet_tf import app, atomic_write, predict
from ornet_tf.errors import UserError
from ornet_tf.runs import interruption

_CLASS = "object"


def main(config: ConfigDict, workdir: str, inputs: Sequence[str], *, one_class: bool, **options) -> None:
    """Learns the prior unless the run has it, and predicts; `options` are those of `ornet_tf.predict`."""
    from ornet_tf.training.phases import train  # late, as importing TensorFlow takes seconds

    if len(inputs) != 1 or not os.path.isdir(inputs[0]):
        raise UserError(f"Expected one folder of images after the flags, got {' '.join(inputs) or 'nothing'}.")
    folder, labels = os.path.abspath(inputs[0]), ""
    if one_class or _has_no_classes(folder):
        logging.info("All images below %s are of one class, %r.", folder, _CLASS)
        config.dataset.options.root = _link(folder, os.path.join(workdir, "images"))
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


def _has_no_classes(folder: str) -> bool:
    """Returns whether images lie in the folder itself.

    Raises:
      UserError: if they do not, and its folders are those of splits.
    """
    from ornet_tf.data import image_files, source

    found = image_files.scan(folder)
    if not found.images and found.folders and {*found.folders} <= {*source.SPLITS}:
        raise UserError(
            f"Expected folders of classes in {folder}, got folders of splits; give one of them, or add --one_class."
        )
    return bool(found.images)


def _link(folder: str, root: str) -> str:
    """Makes `root` a folder with one class, whose images are those of `folder`; returns it."""
    link = os.path.join(root, _CLASS)
    with atomic_write.explain_failures(f"{root} could not be made"):
        os.makedirs(root, exist_ok=True)
        if not (os.path.islink(link) and os.readlink(link) == folder):
            if os.path.lexists(link):
                raise UserError(f"{link} leads to other images; choose another --workdir.")
            os.symlink(folder, link)
    return root


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
