"""The tiny experiment as configs/few_pictures.py has its phases: frozen low layers and an object prior."""
from ml_collections import ConfigDict

from ornet_tf import config, config_check
from tests import tiny_experiment


def get_config(cache_frozen_features: bool = False) -> ConfigDict:
    """Returns the experiment; its row `seed` reads the prior."""
    experiment = tiny_experiment.get_config()
    experiment.input.update({"resize": 37, "crop": 32})
    with experiment.unlocked():
        for phase in experiment.phase.values():
            phase.update({"random_crop": False, "cache_frozen_features": cache_frozen_features})
        # A network without pretrained weights learns its low layers in the evaluator.
        experiment.phase.evaluator.cache_frozen_features = False
        stage_one = experiment.phase.stage_one
        stage_one.options.update({"freeze_lower": True, "object_prior": True, "background": True})
        stage_one.trainable = ("generator/",)
        stage_one.init_from = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
        stage_one.losses = {
            "seed": config.loss("pseudo_mask_agreement", "activation_map", "pseudo_mask"),
            "background": config.loss("background_suppression", "background_activation", "whole_activation"),
        }
        stage_two = experiment.phase.stage_two
        stage_two.options.object_prior = True
        stage_two.init_from.direction = "stage_one.direction"
        stage_two.losses.seed = config.loss("pseudo_mask_agreement", "activation_map", "pseudo_mask")
        parts = {"lower": "evaluator.lower", "upper": "evaluator.upper", "direction": "stage_one.direction"}
        experiment.evaluation.row.seed = config.row("object_prior_scores", parts)
        experiment.evaluation.rows = (*experiment.evaluation.rows, "seed")
    config_check.validate(experiment)
    return experiment
