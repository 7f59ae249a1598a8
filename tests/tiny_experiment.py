"""A small experiment with all three phases that trains in seconds, for tests."""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment: phases of a few steps on toybirds of 32 pixels.

      python -m ornet_tf.train --config=tests/tiny_experiment.py --workdir=runs/tiny
    """
    config = ornet.default()
    counts = {"train_count": 48, "validation_count": 12, "test_count": 18}
    config.dataset = ConfigDict(
        {"name": "toybirds", "options": {"seed": 3, "image_size": 32, "num_classes": 3, **counts}}
    )
    config.input.update({"resize": 36, "crop": 32, "cache": "memory", "horizontal_flip": True})
    config.backbone = ConfigDict(
        {"name": "vgg_small", "options": {"split": "block2_pool", "blocks": ((4,), (6,), (8,), (8,))}}
    )
    config.generator.update({"base_width": 4, "depth": 2})
    for phase in config.phase.values():
        phase.update({"epochs": 1.0, "batch_size": 8})
    config.phase.evaluator.update({"learning_rate": 1e-3, "rate_factors": ()})
    config.training.update({"steps_per_loop": 2, "checkpoint_every": 2, "summary_every": 3, "summary_images": 3})
    config.evaluation.update({"batch_size": 8, "threshold_split": "validation", "gallery_images": 2})
    return config
