"""A small version of configs/rivals_toybirds.py, whose phases train in seconds."""
from ml_collections import ConfigDict

from configs import rivals_toybirds
from tests import tiny_experiment


def get_config() -> ConfigDict:
    """Returns the experiment with the images and networks of tests/tiny_experiment.py and two steps for each phase.

      python -m ornet_tf.train --config=tests/tiny_rivals.py --workdir=runs/tiny_rivals
    """
    config, tiny = rivals_toybirds.get_config(), tiny_experiment.get_config()
    for section in ("dataset", "input", "backbone", "generator", "training"):
        config[section] = tiny[section]
    for phase in config.phase.values():
        phase.update({"epochs": 0.34, "batch_size": 8})
    config.phase.acol.options.width = 8
    config.training.summary_images = 0
    config.evaluation.update({"batch_size": 8, "gallery_images": 0})
    config.evaluation.metrics = ("ornet",)  # the one with the smallest graph
    return config
