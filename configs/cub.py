"""CUB-200-2011 with VGG16: the paper's setting (section 4.1), for one GPU.

  python -m ornet_tf.train --config=configs/cub.py --config.dataset.options.root=CUB_200_2011 --workdir=runs/cub

The evaluator trains for 30 epochs (the paper gives no number), stage one for 70 and stage two for 30, at batch size 16:
about 11,000, 26,000 and 11,000 steps. That is 79 PFLOP, or 1.4 hours of a V100 at its float32 peak
(benchmarks/README.md). The paper reports 86.2 CorLoc. This configuration has not been run to its end here.
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    config.dataset = ConfigDict({"name": "cub", "options": {"root": "CUB_200_2011", "validation_per_class": 0}})
    return config
