"""Some hundreds of images, one folder per class, with VGG16's frozen ImageNet weights, for two CPU cores.

  python -m ornet_tf.train --config=configs/few_pictures.py --config.dataset.options.root=images --workdir=runs/mine

These settings go beyond the paper, whose schedule is in configs/image_folder.py. 300 images train in 3 minutes on two
cores with AVX-512, and in 6 to 7 without it. benchmarks/cub10/README.md and benchmarks/whole_objects/README.md describe
how the settings were chosen.
"""
from ml_collections import ConfigDict

from configs import image_folder
from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = image_folder.get_config()
    # Few images can't improve ImageNet's weights, so all convolutions are frozen. The generator can then read deep
    # features: training would make them forget what does not separate the classes. Crops are centred, so an image has
    # only two views (one is mirrored), and their features are computed once and cached.
    few_views = {"random_crop": False, "cache_frozen_features": True}
    config.input.update({"evaluation_view": "whole", "horizontal_flip": True})
    config.backbone.options.update({"split": "block4_conv3", "head": "cross_dimensional"})
    config.generator.update({"base_width": 64, "depth": 2, "growth": 1.5, "logit_scale": 3.0})
    evaluator = config.phase.evaluator
    evaluator.options = ConfigDict({"freeze_lower": True})
    evaluator.update({"epochs": 10.0, "learning_rate": 1e-3, "rate_factors": (), **few_views})
    evaluator.trainable = ("upper/predictions",)
    # Instead of the paper's losses (Eq. 5 and 6), which a part of the object satisfies: agreement with the pseudo mask.
    stage_one = config.phase.stage_one
    stage_one.options = ConfigDict({"freeze_lower": True, "object_prior": True, "refine": True})
    stage_one.update(
        {
            "epochs": 8.0,
            "trainable": ("generator/",),
            "init_from": ConfigDict({"lower": "evaluator.lower", "upper": "evaluator.upper"}),
            **few_views,
        }
    )
    pseudo_mask = ornet.loss("pseudo_mask_agreement", "activation_map", "pseudo_mask", balance=0.5)
    stage_one.losses = ConfigDict({"pseudo_mask": pseudo_mask})
    # The paper's losses and rate, and the pseudo mask again: without it the map grows beyond the object. A few
    # dozen steps can't make the map nearly binary, so a large logit_scale does.
    stage_two = config.phase.stage_two
    stage_two.generator = ConfigDict({"logit_scale": 100.0})
    stage_two.update({"epochs": 2.0, **few_views})
    stage_two.losses.area.weight = 0.5
    stage_two.losses.pseudo_mask = pseudo_mask
    stage_two.options.update({"freeze_lower": True, "object_prior": True, "refine": True})
    stage_two.options.erasing_options = ConfigDict({"candidate_depth": (0.0, 0.5)})
    stage_two.init_from = ConfigDict({**stage_two.init_from, "direction": "stage_one.direction"})
    config.evaluation.row.bag_cams.options = ConfigDict({"layer": "block4_pool"})  # the features that block5 gets
    config.evaluation.row.object_prior.options = ConfigDict({"refine": True})
    config.training.update({"steps_per_loop": 5, "checkpoint_every": 50, "summary_every": 25})
    config.evaluation.update({"batch_size": 16, "box_rule": "largest"})
    return config
