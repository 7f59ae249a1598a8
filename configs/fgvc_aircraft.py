"""FGVC-Aircraft, 100 variants, with VGG16: the paper's setting for CUB-200-2011 (section 4.1), for one GPU.

  python -m ornet_tf.datasets check --config=configs/fgvc_aircraft.py
  python -m ornet_tf.train --config=configs/fgvc_aircraft.py --workdir=runs/aircraft

--config.dataset.options.root names the folder that holds data/. Training takes the official training and validation
images, 6,667, as the literature does: 70 epochs of stage one and 30 of stage two at batch 16 are about 29,000 and
12,500 steps. The banner below each image is cut off in copies, 2.7 GB. It has not been run here.
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
    # The evaluator fine-tunes ImageNet weights: its new layer may learn faster than the rest.
    config.phase.evaluator.update({"learning_rate": 1e-4, "rate_factors": (("predictions", 10.0),)})
    return config
