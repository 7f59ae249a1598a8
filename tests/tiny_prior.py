"""The tiny experiment with the phases of configs/few_pictures.py: a frozen lower part and an object prior."""
from ml_collections import ConfigDict

from ornet_tf import config, config_check
from tests import tiny_experiment


def get_config(cache_frozen_features: bool = False) -> ConfigDict:
    """Returns the experiment; its row `object_prior` evaluates the prior's scores."""
    experiment = tiny_experiment.get_config()
    experiment.input.update({"resize": 37, "crop": 32})
    with experiment.unlocked():
        for phase in experiment.phase.values():
            phase.update({"random_crop": False, "cache_frozen_features": cache_frozen_features})
        # Without pretrained weights the evaluator phase has to train the lower part.
        experiment.phase.evaluator.cache_frozen_features = False
        stage_one = experiment.phase.stage_one
        stage_one.options.update({"freeze_lower": True, "object_prior": True, "background": True})
        stage_one.trainable = ("generator/",)
        stage_one.init_from = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
        stage_one.losses = {
            "pseudo_mask": config.loss("pseudo_mask_agreement", "activation_map", "pseudo_mask"),
            "background": config.loss("background_suppression", "background_activation", "whole_activation"),
        }
        stage_two = experiment.phase.stage_two
        stage_two.options.object_prior = True
        stage_two.init_from.direction = "stage_one.direction"
        stage_two.losses.pseudo_mask = config.loss("pseudo_mask_agreement", "activation_map", "pseudo_mask")
        experiment.evaluation.report_rows = (*experiment.evaluation.report_rows, "object_prior")
    config_check.validate(experiment)
    return experiment
