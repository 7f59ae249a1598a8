"""Stanford Dogs with VGG16: the paper's setting for CUB-200-2011 (section 4.1), for one GPU.

  python -m ornet_tf.datasets check --config=configs/stanford_dogs.py
  python -m ornet_tf.train --config=configs/stanford_dogs.py --workdir=runs/dogs

--config.dataset.options.root is the folder that holds Images/, Annotation/ and the lists. Stage one trains for 70
epochs and stage two for 30, at batch size 16: about 52,500 and 22,500 steps. This configuration has not been run here.
The images are from ImageNet, so VGG16's pretrained weights were trained on many of the test images.
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    options = {"root": "stanford_dogs", "validation_per_class": 0}
    config.dataset = ConfigDict({"name": "stanford_dogs", "options": options})
    return config
