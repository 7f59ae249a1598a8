"""A run of the tiny experiment whose stages have an object prior, and therefore the part `direction`."""
import json
import os
import pathlib
import shutil

import numpy as np
from ml_collections import ConfigDict

from ornet_tf import build, config_check
from ornet_tf import config as ornet
from ornet_tf.runs import checkpoints
from tests import tiny_experiment

STAGES = ("stage_one", "stage_two")
THRESHOLD = 0.6  # of the pseudo masks


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = tiny_experiment.get_config()
    stage_one, stage_two = config.phase.stage_one, config.phase.stage_two
    with config.unlocked():
        for stage in (stage_one, stage_two):
            stage.update({"random_crop": False, "cache_frozen_features": True})
        stage_one.options = {"freeze_lower": True, "object_prior": True}
        stage_one.init_from = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
        stage_one.trainable = ("generator/",)
        stage_one.losses = {"pseudo_mask": ornet.loss("pseudo_mask_agreement", "activation_map", "pseudo_mask")}
        stage_two.options.update({"freeze_lower": True, "object_prior": True})
        stage_two.init_from.direction = "stage_one.direction"
    config_check.validate(config)
    return config


def write(trained: str, workdir: str) -> ConfigDict:
    """Writes a run with an object prior to `workdir` and returns its configuration.

    Its weights are those of the tiny experiment's run in `trained`, but the lower part, which stage one freezes, is the
    evaluator's, and the generator, which reads more features here, has random weights. The directions are random, and
    not negative.
    """
    config = get_config()
    shutil.copytree(trained, workdir, ignore=shutil.ignore_patterns("export", "predictions", "evaluation"))
    for name in STAGES:
        folder = os.path.join(workdir, name)
        method = build.build_method(config, config.phase[name], 3)
        sources = {part: f"{name}.{part}" for part in method.parts if part not in ("direction", "generator")}
        sources["lower"] = "evaluator.lower"
        checkpoints.load_parts({part: method.parts[part] for part in sources}, sources, trained)
        direction = method.parts["direction"]
        # Features are not negative, so these directions give each image a region.
        rng = np.random.default_rng(0)
        for layer in ("low_level", "last"):
            directions, offsets = direction.get_layer(layer).get_weights()
            direction.get_layer(layer).set_weights([rng.random(directions.shape, np.float32), offsets])
        direction.get_layer("scores").set_weights([np.float32(THRESHOLD)])
        shutil.rmtree(os.path.join(folder, "checkpoints"))
        steps = json.loads(pathlib.Path(folder, "finished.json").read_text())["steps"]
        checkpoints.PhaseCheckpoints(folder, method.parts, [], keep=1).save(steps)
    return config
