"""Ten classes of CUB-200-2011 with VGG16, for two CPU cores: the settings of few_pictures.py on birds.

  ORNET_CUB10=FOLDER ORNET_VGG16=imagenet python -m ornet_tf.train --config=configs/cub10.py --workdir=runs/cub10
  ORNET_CUB10=FOLDER python -m ornet_tf.evaluate --config=configs/cub10.py --workdir=runs/cub10

Training takes 3 minutes and evaluation half a minute on 2 cores with AVX-512, 6 and 1.5 minutes on 2 cores without it,
with 3.9 GiB of memory. Results of the settings before whole images (commit b8eb2a1), measured in the centre crop of 123
test images with the largest component, the mean of the seeds 0, 1 and 2:

  stage two: CorLoc at 0.5 93.0 (94.3, 91.1, 93.5), its spread over thresholds 0.3, LocErr top-1 24.7
  stage one: CorLoc at 0.5 90.8, its spread over thresholds 19.2, LocErr top-1 26.0
  object prior: CorLoc at its best threshold 91.9; any other sanity row at most 78.9

benchmarks/cub10/README.md and benchmarks/whole_objects/README.md describe how the settings were chosen.
"""
import os

from ml_collections import ConfigDict

from configs import few_pictures


def get_config() -> ConfigDict:
    """Returns the experiment; ORNET_CUB10 and ORNET_VGG16 name the data folder and the weights file."""
    config = few_pictures.get_config()
    config.dataset = ConfigDict(
        {
            "name": "cub",
            "options": {"root": os.environ.get("ORNET_CUB10", "data/cub10"), "validation_per_class": 0},
        }
    )
    config.input.cache = "memory"
    config.backbone.options.weights = os.environ.get("ORNET_VGG16", "imagenet")
    # With a further sanity row: the scores from which the pseudo masks are made.
    config.evaluation.report_rows = ("centre_box", "mean_features", "object_prior", "cam", "stage_one", "stage_two")
    return config
