"""The training images of a run: checked before training, and the same in all its processes."""
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

# What was found when images were looked at, in the workdir.
_CHECKED = "checked_images.json"


def load(config: ConfigDict, workdir: str, strategy: tf.distribute.Strategy) -> Source:
    """Returns the training images that can be used, the same in all processes of a run; the chief looks at them.

    Raises:
      UserError: if images can't be used, or two processes find different ones.
    """
    if distribution.is_chief(strategy):
        source = load_and_check(config, workdir)
    if not distribution.worker_name(strategy):
        return source  # one process has nothing to compare, and names can be millions
    distribution.barrier(strategy)
    if not distribution.is_chief(strategy):
        source = _load_as_checked(config, workdir)
    labels = np.asarray(source.labels).tolist()
    facts = {"training images": json.dumps([list(source.class_names), list(source.names), labels])}
    distribution.check_same_on_all_workers(strategy, facts)
    return source


def load_and_check(config: ConfigDict, workdir: str) -> Source:
    """Loads the training split, checks its images, and those that evaluation will need, and binds the run to them.

    So all that is broken is listed at once, and before training. A data set that lacks a split of the evaluation can be
    trained on; what evaluation will say about it is logged. What was found is remembered, so that a run that goes on
    need not decode it all again: once a file has changed, its split is looked at anew.

    Raises:
      UserError: if images or tables of any of these splits can't be used, or the run has learned from others.
    """
    path = os.path.join(workdir, _CHECKED)
    known = run_folder.read_json(path) if os.path.exists(path) else {}
    loaded, problems = {}, []
    for split in dict.fromkeys(["train", config.evaluation.split, config.evaluation.threshold_split]):
        try:
            if split:
                loaded[split] = loading.load_checked(config, split, known)
        except MissingSplit as error:
            if split == "train":
                raise
            logging.warning("There will be no evaluation on %s: %s", split, error)
        except UserError as error:
            problems.append(f"The {split} split: {error}")
    run_folder.write_json(path, known)
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    training_data.bind(workdir, loaded["train"], config.phases)
    return loaded["train"].source


def _load_as_checked(config: ConfigDict, workdir: str) -> Source:
    """Loads the training split without what another process of the run has found broken; no image is looked at."""
    known = run_folder.read_json(os.path.join(workdir, _CHECKED))
    return checked_images.leave_out(loading.load_source(config, "train"), known["train"]["left_out"])
