"""ImageNet from the folders of its archives, with boxes, VGG16 and the paper's setting (section 4.1), for several GPUs.

  python -m ornet_tf.datasets check --config=configs/imagenet_folders.py
  python -m ornet_tf.train --config=configs/imagenet_folders.py --workdir=runs/imagenet

The paths are those of Kaggle's archive, unpacked here (--config.dataset.options.root, .boxes, .val_labels, .synsets);
ten training images of each class are held out to choose thresholds on. 5 epochs of stage one and 3 of stage two at
batch 256; it has not been run here.
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
    # The convolutions know ImageNet; the dense layer after global average pooling is new and may learn faster.
    factors = (("upper/predictions", 10.0),)
    config.phase.evaluator.update({"epochs": 3.0, "batch_size": 256, "learning_rate": 1e-4, "rate_factors": factors})
    config.phase.stage_one.update({"epochs": 5.0, "batch_size": 256, "learning_rate": 1e-3})
    config.phase.stage_two.update({"epochs": 3.0, "batch_size": 256, "learning_rate": 1e-4})
    config.evaluation.threshold_split = "validation"
    return config
