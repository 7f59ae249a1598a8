"""The tiny experiment with the phases of configs/few_pictures.py: cached features and an object prior."""
from ml_collections import ConfigDict

from ornet_tf import config, config_check
from tests import tiny_experiment


def get_config(*, object_prior: bool = True, cache_frozen_features: bool = True) -> ConfigDict:
    """Returns the experiment.

    Args:
      object_prior: False for stages without a prior and without its row.
      cache_frozen_features: False for stages that compute frozen features in each step, possible without a prior.
    """
    experiment = tiny_experiment.get_config()
    experiment.input.update({"resize": 37, "crop": 32})
    with experiment.unlocked():
        for phase in experiment.phase.values():
            phase.update({"random_crop": False, "cache_frozen_features": cache_frozen_features})
        # Without pretrained weights the evaluator phase has to train the lower part.
        experiment.phase.evaluator.cache_frozen_features = False
        stage_one, stage_two = experiment.phase.stage_one, experiment.phase.stage_two
        stage_one.options.update({"freeze_lower": True, "background": True})
        stage_two.options.freeze_lower = True
        stage_one.trainable = ("generator/",)
        stage_one.init_from = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
        stage_one.losses = {
            "background": config.loss("background_suppression", "background_activation", "whole_activation"),
            "area": config.loss("area", "activation_map", weight=0.5),
        }
        if object_prior:
            for stage in (stage_one, stage_two):
                stage.options.object_prior = True
                stage.losses.pseudo_mask = config.loss("pseudo_mask_agreement", "activation_map", "pseudo_mask")
            stage_two.init_from.direction = "stage_one.direction"
            experiment.evaluation.report_rows = (*experiment.evaluation.report_rows, "object_prior")
    config_check.validate(experiment)
    return experiment
