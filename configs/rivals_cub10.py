"""ORNet and rival methods on ten classes of CUB-200-2011, in the form of the paper's Table 1, with VGG16 on a CPU.

  export ORNET_CUB10=FOLDER ORNET_VGG16=imagenet
  python -m ornet_tf.train --config=configs/rivals_cub10.py --workdir=runs/rivals_cub10
  python -m ornet_tf.evaluate --config=configs/rivals_cub10.py --workdir=runs/rivals_cub10

`make compare DATA=cub10` trains it too, and prints the paper's Table 1 with these rows.

This configuration adds Grad-CAM, BagCAMs, PC1 and the classifiers of Hide-and-Seek, ADL and ACoL to configs/cub10.py,
which trains evaluator, stage one and stage two. CAM, Grad-CAM, BagCAMs and PC1 use the evaluator and need no training.
BagCAMs reads the features that the last block gets. The evaluator trains its dense layer only; the other rivals change
the features, so they train block5 as well. The class errors of the rivals' rows are those of their own classifiers, as
in the paper. All other rows have the class errors of the evaluator. All classifiers have global average pooling, as in
the rivals' papers, so the evaluator is not that of cub10.py.

The three trained rivals take 22 minutes on 2 shared cores of an Intel Xeon, besides the time of configs/cub10.py.
Best CorLoc with the largest component, seed 0, commit b8eb2a1: CAM 40.7, Grad-CAM 43.1, Hide-and-Seek 30.9, ADL 47.2,
ACoL 41.5; stage two 94.3 (docs/results.md).
"""
from ml_collections import ConfigDict

from configs import cub10, rivals_toybirds
from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment; ORNET_CUB10 and ORNET_VGG16 name the data folder and the weights file."""
    config = cub10.get_config()
    config.backbone.options.head = "gap"
    classification = ornet.loss("cross_entropy", "logits", "label")
    erased = ornet.loss("cross_entropy", "erased_logits", "label")
    # The options are the papers' own for VGG16 at 224 pixels. One difference: ADL's layers follow block4_pool and
    # block5_conv3 only, as block3_pool is in the lower part, which is frozen here.
    rivals = {
        "hide_and_seek": {"losses": {"classification": classification}},
        "adl": {"losses": {"classification": classification}},
        # The new classifiers have two layers more than a dense layer, so their learning rate is raised less.
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
    phases = {name: {**schedule, **fields} for name, fields in rivals.items()}
    return rivals_toybirds.with_rivals(config, phases)
