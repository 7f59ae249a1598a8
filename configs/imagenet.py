"""ImageNet with VGG16: the paper's setting (section 4.1), for several GPUs.

  python -m ornet_tf.train --config=configs/imagenet.py --workdir=runs/imagenet

Prepare imagenet2012 with TFDS first; its images are then unpacked to files once. TFDS has no boxes for ImageNet, so an
evaluation measures classification only; configs/imagenet_folders.py has boxes. The evaluator trains for 3 epochs, stage
one for 5 and stage two for 3, at batch size 256. That is 1,351 PFLOP, or 24 hours of a V100 at its float32 peak
(benchmarks/README.md). This configuration has not been run here.
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    splits = {"train": "train", "validation": "validation", "test": "validation"}
    config.dataset = ConfigDict({"name": "tfds", "options": {"name": "imagenet2012", "data_dir": "", "splits": splits}})
    # The convolutions are pretrained on ImageNet; only the new dense layer has a higher learning rate.
    factors = (("upper/predictions", 10.0),)
    config.phase.evaluator.update({"epochs": 3.0, "batch_size": 256, "learning_rate": 1e-4, "rate_factors": factors})
    config.phase.stage_one.update({"epochs": 5.0, "batch_size": 256, "learning_rate": 1e-3})
    config.phase.stage_two.update({"epochs": 3.0, "batch_size": 256, "learning_rate": 1e-4})
    return config
