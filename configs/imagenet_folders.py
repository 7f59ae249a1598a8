"""ImageNet with boxes, from its unpacked archives, with VGG16: the paper's setting (section 4.1), for several GPUs.

  python -m ornet_tf.datasets check --config=configs/imagenet_folders.py
  python -m ornet_tf.train --config=configs/imagenet_folders.py --workdir=runs/imagenet

The paths are those of Kaggle's archive, unpacked in the current folder; --config.dataset.options.root, .boxes,
.val_labels and .synsets change them. Ten training images of each class are held out to choose thresholds. Stage one
trains for 5 epochs and stage two for 3, at batch size 256. This configuration has not been run here.
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    options = {
        "root": "ILSVRC/Data/CLS-LOC",
        "boxes": "ILSVRC/Annotations/CLS-LOC",
        "val_labels": "LOC_val_solution.csv",
        "synsets": "LOC_synset_mapping.txt",
        "validation_per_class": 10,
    }
    config.dataset = ConfigDict({"name": "imagenet", "options": options})
    # The convolutions are pretrained on ImageNet; only the new dense layer has a higher learning rate.
    factors = (("upper/predictions", 10.0),)
    config.phase.evaluator.update({"epochs": 3.0, "batch_size": 256, "learning_rate": 1e-4, "rate_factors": factors})
    config.phase.stage_one.update({"epochs": 5.0, "batch_size": 256, "learning_rate": 1e-3})
    config.phase.stage_two.update({"epochs": 3.0, "batch_size": 256, "learning_rate": 1e-4})
    config.evaluation.threshold_split = "validation"
    return config
