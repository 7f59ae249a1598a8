"""Ten classes of CUB-200-2011 with VGG16 on two CPU cores: the whole pipeline on photographs within two hours.

  python -m ornet_tf.train --config=configs/cub10.py --workdir=runs/cub10
"""
import os

from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment; ORNET_CUB10 and ORNET_VGG16 name the data folder and the weights file."""
    config = ornet.default()
    config.dataset = ConfigDict(
        {
            "name": "cub",
            "options": {"root": os.environ.get("ORNET_CUB10", "data/cub10"), "validation_per_class": 0},
        }
    )
    config.input.cache = True
    config.backbone.options.weights = os.environ.get("ORNET_VGG16", "imagenet")
    # block1 to block4 keep their ImageNet weights: 300 pictures can't improve them, and a step costs a third.
    upper = "block5|predictions"
    config.phase.evaluator.update(
        {
            "epochs": 6.0,
            "learning_rate": 3e-5,
            "trainable": upper,
            "rate_factors": (("predictions", 30.0),),
        }
    )
    config.phase.stage_one.update(
        {
            "epochs": 4.0,
            "learning_rate": 1e-3,
            "trainable": "generator|" + upper,
            "rate_factors": (("block5", 0.03),),
            "init_from": ConfigDict({"lower": "evaluator.lower", "upper": "evaluator.upper"}),
        }
    )
    config.phase.stage_two.update({"epochs": 8.0, "learning_rate": 1e-3})
    return config
