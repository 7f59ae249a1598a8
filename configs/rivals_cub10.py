"""The rivals of ORNet beside it on ten classes of CUB-200-2011: the paper's Table 1 in form, with VGG16 on a CPU.

  export ORNET_CUB10=FOLDER ORNET_VGG16=imagenet
  python -m ornet_tf.train --config=configs/rivals_cub10.py --workdir=runs/rivals_cub10
  python -m ornet_tf.evaluate --config=configs/rivals_cub10.py --workdir=runs/rivals_cub10

To configs/cub10.py, which trains evaluator, stage one and stage two, this adds the classifiers of Hide-and-Seek, ADL
and ACoL, and Grad-CAM. The evaluator trains its dense layer alone, which is nothing for a rival that changes what the
features are: theirs train block5 as well. CAM and Grad-CAM read the evaluator. The rivals' rows have the class errors
of their own classifiers, as in the paper, the others those of the evaluator.

The three rivals take 22 minutes on 2 cores of an Intel Xeon that had other work as well, besides the 10 of
configs/cub10.py. Seed 0, best CorLoc of the largest component: CAM 40.7, Grad-CAM 43.1, Hide-and-Seek 30.9, ADL 47.2,
ACoL 41.5; stage two 94.3 (docs/results.md).
"""
from ml_collections import ConfigDict

from configs import cub10, rivals_toybirds
from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment; ORNET_CUB10 and ORNET_VGG16 name the data folder and the weights file."""
    config = cub10.get_config()
    classification = ornet.loss("cross_entropy", "logits", "label")
    erased = ornet.loss("cross_entropy", "erased_logits", "label")
    # With the papers' own options for VGG16 at 224 pixels; but ADL's layers follow block4_pool and block5_conv3 alone,
    # as block3_pool lies in the lower part here, which is frozen.
    rivals = {
        "hide_and_seek": {"losses": {"classification": classification}},
        "adl": {"losses": {"classification": classification}},
        # The classifiers are new, as a dense layer is, but have two layers more: a lower raised rate.
        "acol": {
            "losses": {"classification": classification, "erased": erased},
            "trainable": ("upper/block5", "classifier_"),
            "rate_factors": (("classifier_", 5.0),),
        },
    }
    schedule = {
        "epochs": 5.0,
        "learning_rate": 1e-4,
        "trainable": ("upper/block5", "upper/predictions"),
        "rate_factors": (("predictions", 20.0),),
    }
    return rivals_toybirds.with_rivals(config, {name: {**schedule, **fields} for name, fields in rivals.items()})
