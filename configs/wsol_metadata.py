"""Data sets by the lists of wsolevaluation, here CUB with CUBV2 as its validation split; VGG16, for one GPU.

  python -m ornet_tf.datasets check --config=configs/wsol_metadata.py
  python -m ornet_tf.train --config=configs/wsol_metadata.py --workdir=runs/cubv2

For ImageNet: --config.dataset.options.metadata=metadata/ILSVRC, .root=dataset/ILSVRC and .last_pixel=True, with the
schedule of configs/imagenet.py. Thresholds are chosen on the validation split, which shows other images than CUB
does. The paper's setting for CUB-200-2011; it has not been run here.
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    options = {"metadata": "metadata/CUB", "root": "dataset/CUB", "last_pixel": False}
    config.dataset = ConfigDict({"name": "wsol_metadata", "options": options})
    # The evaluator fine-tunes ImageNet weights: its new layer may learn faster than the rest.
    config.phase.evaluator.update({"learning_rate": 1e-4, "rate_factors": (("predictions", 10.0),)})
    config.evaluation.threshold_split = "validation"
    return config
