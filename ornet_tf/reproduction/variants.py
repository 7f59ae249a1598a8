"""Variants of an experiment: changes of its configuration, which share the phases that they do not touch.

    <workdir>/seed-0/shared/          the phases before the one that is varied, trained once
    <workdir>/seed-0/variants/<id>/   the varied phase and those after it; links to the shared ones
"""
from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from ornet_tf.compat import keras
from ornet_tf.config_check import validate
from ornet_tf.errors import UserError
from ornet_tf.evaluation import measurement
from ornet_tf.reproduction.outcomes import Run
from ornet_tf.reproduction.study import REMOVED
from ornet_tf.runs import run_folder, training_data
from ornet_tf.training.phases import train

_MADE_OF = "made_of.json"


def vary(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """Returns a copy of a configuration with some values replaced or, by `REMOVED`, taken out.

    Args:
      config: the configuration.
      changes: path, such as "phase.stage_two.losses.area.weight" -> value.

    Raises:
      UserError: if the path leads nowhere.
    """
    varied = config.copy_and_resolve_references()
    with varied.unlocked(), varied.ignore_type():
        for path, value in changes.items():
            *parents, key = path.split(".")
            try:
                section = functools.reduce(lambda inner, name: inner[name], parents, varied)
            except (KeyError, TypeError) as error:
                raise UserError(f"A study changes config.{path}, which this experiment does not have.") from error
            if value == REMOVED:
                if key in section:
                    del section[key]
            else:
                section[key] = ConfigDict(value) if isinstance(value, Mapping) else value
    return varied


def identity(config: ConfigDict, changes: Mapping[str, Any]) -> str:
    """Returns the name of a variant's folder: that of what it changes, so that studies share what they have in common.

    What is changed to the value that it has already is no change.
    """
    plain, real = _plain(config), {}
    for path, value in changes.items():
        before: Any = plain
        for key in path.split("."):
            before = before.get(key, REMOVED) if isinstance(before, dict) else REMOVED
        if before != json.loads(json.dumps(value, default=str)):
            real[path] = value
    if not real:
        return "as_configured"
    return hashlib.sha256(json.dumps(real, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _plain(config: ConfigDict) -> dict[str, Any]:
    return json.loads(config.to_json_best_effort())


class Trainer:
    """Trains and evaluates variants of one experiment with one seed; what is done already is not done again."""

    def __init__(self, config: ConfigDict, workdir: str, phase: str):
        """Takes the experiment, with its seed, and the name of the phase that is varied.

        Raises:
          UserError: if the experiment has no such phase, or its classifier is not trained before it.
        """
        phases = tuple(config.phases)
        if phase not in phases:
            raise UserError(f"config.phases: expected {phase!r} among them, got {', '.join(phases)}.")
        self._config, self._phase = config, phase
        self._folder = os.path.join(workdir, f"seed-{config.seed}")
        self._shared = phases[: phases.index(phase)]
        self._reaches = {name: _sources(config, name) for name in (*phases, *config.evaluation.row)}
        if not self._is_shared(config.evaluation.classifier):
            raise UserError(
                f"config.evaluation.classifier: expected one that is trained before {phase}, got "
                f"{config.evaluation.classifier!r}, which differs between variants."
            )

    def check(self, variants: Sequence[Mapping[str, Any]], rows: Sequence[str]) -> None:
        """Checks what a study needs before anything is trained.

        Raises:
          UserError: if a variant's configuration is wrong, or a row is unknown or depends on the variant.
          MissingPackageError: if a metric needs a package that is not installed.
        """
        measurement.make_metrics(self._config)
        for changes in variants:
            validate(self._evaluating(vary(self._config, changes), (self._phase,)))
        for row in rows:
            if row not in self._reaches or not self._is_shared(row):
                known = ", ".join(name for name in self._reaches if self._is_shared(name))
                raise UserError(
                    f"A study compares with {row!r}: expected a phase or row that is trained before {self._phase}, "
                    f"here one of {known}; add it to the experiment."
                )

    def rows(self, rows: Sequence[str]) -> dict[str, Run]:
        """Trains the shared phases and evaluates the rows that read them: these and those of the experiment.

        All at once, so that studies that look at other rows find the same evaluation.
        """
        workdir = os.path.join(self._folder, "shared")
        config = self._config.copy_and_resolve_references()
        config.phases = self._shared
        if self._shared:
            train(self._with_cache(config), workdir)
        if not rows:
            return {}
        all_rows = dict.fromkeys([*filter(self._is_shared, config.evaluation.rows), *rows])
        config = self._evaluating(config, tuple(all_rows))
        result = _evaluated(config, workdir)
        return {row: Run(config, workdir, row, result) for row in rows}

    def variant(self, changes: Mapping[str, Any]) -> Run:
        """Trains a variant on the shared phases, which have to be there, and evaluates it."""
        name = identity(self._config, changes)
        workdir = os.path.join(self._folder, "variants", name)
        logging.info("Seed %d, variant %s: %s", self._config.seed, name, dict(changes) or "nothing is changed")
        config = self._evaluating(vary(self._config, changes), (self._phase,))
        run_folder.write_json(os.path.join(workdir, "changes.json"), dict(changes))
        for phase in self._shared:
            _link(os.path.join("..", "..", "shared", phase), os.path.join(workdir, phase))
        training_data.inherit(workdir, os.path.join(self._folder, "shared"))
        train(self._with_cache(config), workdir)
        return Run(config, workdir, self._phase, _evaluated(config, workdir))

    def _is_shared(self, name: str) -> bool:
        return self._reaches[name] <= {*self._shared}

    def _with_cache(self, config: ConfigDict) -> ConfigDict:
        """Returns the configuration with the decoded images kept where all variants find them."""
        config = config.copy_and_resolve_references()
        config.input.cache_dir = config.input.cache_dir or os.path.join(self._folder, "shared", "cache")
        return config

    def _evaluating(self, config: ConfigDict, rows: tuple[str, ...]) -> ConfigDict:
        config = config.copy_and_resolve_references()
        config.evaluation.rows = rows
        config.evaluation.own_classes = tuple(row for row in config.evaluation.own_classes if row in rows)
        return config


def _sources(config: ConfigDict, name: str) -> set[str]:
    """Returns the phases that a phase or an evaluation row reads, itself among them if it is one."""
    if name in config.evaluation.row:
        return {source.split(".")[0] for source in config.evaluation.row[name].init_from.values()}
    return {name}


def _link(target: str, path: str) -> None:
    """Links to a phase's folder, relatively, so that the whole can be moved."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(path):
        os.remove(path)
    os.symlink(target, path)


def _evaluated(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Returns the result of an evaluation, made anew unless that of these phases and options is there."""
    made_of = {
        "phases": {name: run_folder.run_id(workdir, name) for name in config.phases},
        "seed": config.seed,
        **{key: _plain(config)[key] for key in ("evaluation", "dataset", "backbone")},
        "input": {key: config.input[key] for key in ("resize", "crop")},
    }
    mark, result = (os.path.join(workdir, "evaluation", name) for name in (_MADE_OF, "result.json"))
    if os.path.exists(mark) and os.path.exists(result) and run_folder.read_json(mark) == made_of:
        return run_folder.read_json(result)
    keras.backend.clear_session()  # the models of the variant before
    if os.path.exists(mark):
        os.remove(mark)
    measurement.evaluate(config, workdir)
    run_folder.write_json(mark, made_of)
    return run_folder.read_json(result)
