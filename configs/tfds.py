"""Any classification data set of TensorFlow Datasets (TFDS), with the paper's settings for VGG16.

  python -m ornet_tf.train --config=configs/tfds.py --config.dataset.options.name=stanford_dogs --workdir=runs/dogs
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    config.dataset = ConfigDict(
        {
            "name": "tfds",
            "options": {
                "name": "caltech_birds2011",
                "data_dir": "",  # TFDS's data folder; "" for its own default
                "cache_dir": "",  # the folder for unpacked images; "" for a folder beside the data
                "download": False,
                "splits": {"train": "train", "validation": "", "test": "test"},  # our name -> TFDS's name, "" for none
            },
        }
    )
    return config
