"""FGVC-Aircraft, 100 variants, with VGG16: the paper's setting for CUB-200-2011 (section 4.1), for one GPU.

  python -m ornet_tf.datasets check --config=configs/fgvc_aircraft.py
  python -m ornet_tf.train --config=configs/fgvc_aircraft.py --workdir=runs/aircraft

--config.dataset.options.root is the folder that holds data/. Training uses the 6,667 official training and validation
images, as in the literature. Stage one trains for 70 epochs and stage two for 30, at batch size 16: about 29,000 and
12,500 steps. The banner below each image is cropped away in copies of the images, 2.7 GB. This configuration has not
been run here.
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    options = {
        "root": "fgvc-aircraft-2013b",
        "level": "variant",
        "validation_per_class": 0,
        "banner_free": "fgvc-aircraft-2013b/data/images_without_banner",
    }
    config.dataset = ConfigDict({"name": "fgvc_aircraft", "options": options})
    return config
