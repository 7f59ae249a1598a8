"""Boxes of the object prior alone, for your own images: no generator is trained, and boxes come in a minute or two.

  python -m ornet_tf.train --config=configs/object_prior.py --config.dataset.options.root=images --workdir=runs/prior
  python -m ornet_tf.predict --config=configs/object_prior.py --config.dataset.options.root=images \
    --workdir=runs/prior images

The settings are those of few_pictures.py without the training of its stages. The prior learns directions of ImageNet's
features from the images. They are those of each class; images of one class need no labels. The evaluator's dense layer
is trained, because it gives the class at prediction. docs/results.md shows what training the stages adds.
"""
from ml_collections import ConfigDict

from configs import few_pictures


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = few_pictures.get_config()
    config.dataset.options.test_fraction = 0.0  # boxes are for all images
    config.phase_order = ("evaluator", "stage_one")
    config.phase.stage_one.epochs = 0.0  # learns the prior, and keeps everything else
    config.input.horizontal_flip = False  # no other view is needed
    config.training.summary_images = 0
    config.evaluation.report_rows = ("centre_box", "cam", "object_prior")
    config.evaluation.split = "train"  # no image is held out
    config.export.row = "object_prior"
    return config
