"""Market-1501, DukeMTMC-reID or MSMT17 with VGG16: the paper's setting for CUB-200-2011 (section 4.1), for one GPU.

  python -m ornet_tf.datasets check --config=configs/reid.py
  python -m ornet_tf.train --config=configs/reid.py --workdir=runs/market
  python -m ornet_tf.predict --config=configs/reid.py --workdir=runs/market Market-1501-v15.09.15/query

For the other data sets, set --config.dataset.options.layout to dukemtmc or msmt17, and --config.dataset.options.root.
MSMT17 has its own validation split: set --config.dataset.options.validation_per_class=0. Each class is a person. There
are no boxes, so an evaluation, on one held-out image of each person, measures the classifier only. This configuration
has not been run here.
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    options = {"root": "Market-1501-v15.09.15", "layout": "market1501", "validation_per_class": 1}
    config.dataset = ConfigDict({"name": "reid", "options": options})
    config.evaluation.split = "validation"  # the test split shows other persons
    return config
