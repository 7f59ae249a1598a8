"""Your own images, one folder per class, with the paper's settings for VGG16.

  python -m ornet_tf.train --config=configs/image_folder.py --config.dataset.options.root=images --workdir=runs/mine

Without split folders a fifth of the images is held out for evaluation. With few images fewer epochs are enough.
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    options = {"root": "pictures", "boxes_csv": "boxes.csv", "validation_fraction": 0.0, "test_fraction": 0.2}
    config.dataset = ConfigDict({"name": "image_folder", "options": options})
    return config
