"""Loads and checks the training images of a run, the same in all its processes."""
from __future__ import annotations

import json
import os

import numpy as np
import tensorflow as tf
from absl import logging
from ml_collections import ConfigDict

from ornet_tf.data import checked_images, loading
from ornet_tf.data.source import MissingSplit, Source
from ornet_tf.errors import UserError
from ornet_tf.runs import distribution, run_folder, training_data

# The file in the workdir with the results of image checks.
_CHECKED = "checked_images.json"


def load(config: ConfigDict, workdir: str, strategy: tf.distribute.Strategy) -> Source:
    """Returns the usable training images, the same in all processes of a run. Only the chief checks them.

    Raises:
      UserError: if images can't be used, or processes find different images.
    """
    if distribution.is_chief(strategy):
        source = load_and_check(config, workdir)
    if not distribution.worker_name(strategy):
        return source  # a single process needs no comparison of millions of names
    distribution.barrier(strategy)
    if not distribution.is_chief(strategy):
        source = _load_as_checked(config, workdir)
    labels = np.asarray(source.labels).tolist()
    facts = {"training images": json.dumps([list(source.class_names), list(source.names), labels])}
    distribution.check_same_on_all_workers(strategy, facts)
    return source


def load_and_check(config: ConfigDict, workdir: str) -> Source:
    """Loads the training split and checks all images of training and evaluation, before training starts.

    All errors are reported at once. A missing split of the evaluation is only logged. The results are stored in the
    workdir, so that a resumed run decodes only splits with changed files again. The run is bound to its training
    images; see `training_data.bind`.

    Raises:
      UserError: if images or tables of a split can't be used, or the run was started with other training images.
    """
    path = os.path.join(workdir, _CHECKED)
    results = run_folder.read_json(path) if os.path.exists(path) else {}
    loaded, problems = {}, []
    for split in dict.fromkeys(["train", config.evaluation.split, config.evaluation.threshold_split]):
        try:
            if split:
                loaded[split] = loading.load_checked(config, split, results)
        except MissingSplit as error:
            if split == "train":
                raise
            logging.warning("The %s split can't be evaluated: %s", split, error)
        except UserError as error:
            problems.append(f"The {split} split: {error}")
    run_folder.write_json(path, results)
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    training_data.bind(workdir, loaded["train"], config.phase_order)
    return loaded["train"].source


def _load_as_checked(config: ConfigDict, workdir: str) -> Source:
    """Loads the training split without the images that the chief has found broken; checks no image."""
    results = run_folder.read_json(os.path.join(workdir, _CHECKED))
    return checked_images.leave_out(loading.load_source(config, "train"), results["train"]["left_out"])
