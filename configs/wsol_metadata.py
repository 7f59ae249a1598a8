"""Data sets in the list format of wsolevaluation, here CUB with CUBV2 as validation split, with VGG16, for one GPU.

  python -m ornet_tf.datasets check --config=configs/wsol_metadata.py
  python -m ornet_tf.train --config=configs/wsol_metadata.py --workdir=runs/cubv2

The settings are the paper's for CUB-200-2011 (section 4.1). Thresholds are chosen on the validation split, whose images
are not in CUB. For ImageNet, whose evaluator is not trained, give these lists to the other configuration:

  python -m ornet_tf.train --config=configs/imagenet_folders.py --config.dataset.name=wsol_metadata \
    --config.dataset.options="{'metadata': 'metadata/ILSVRC', 'root': 'dataset/ILSVRC'}" --workdir=runs/imagenetv2

Neither has been run here.
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    options = {"metadata": "metadata/CUB", "root": "dataset/CUB", "last_pixel": False}
    config.dataset = ConfigDict({"name": "wsol_metadata", "options": options})
    config.evaluation.threshold_split = "validation"
    return config
