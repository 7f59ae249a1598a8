"""Trains and evaluates variants of an experiment, which share the phases before the varied one.

    <workdir>/seed-0/shared/          the phases before the varied one, trained once
    <workdir>/seed-0/variants/<id>/   the varied phase and later ones, and links to the shared phases
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
from ornet_tf.evaluation import measurement, row_metrics
from ornet_tf.reproduction.outcomes import Run
from ornet_tf.reproduction.study import REMOVED
from ornet_tf.runs import run_folder, training_data
from ornet_tf.training.phases import train

_MADE_OF = "made_of.json"


def vary(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """Returns a copy of a configuration with some values changed.

    Args:
      config: the configuration.
      changes: path, such as "phase.stage_two.losses.area.weight" -> new value, or `REMOVED` to remove the entry.

    Raises:
      UserError: if the configuration has no such path.
    """
    varied = config.copy_and_resolve_references()
    with varied.unlocked(), varied.ignore_type():
        for path, value in changes.items():
            *parents, key = path.split(".")
            try:
                section = functools.reduce(lambda inner, name: inner[name], parents, varied)
            except (KeyError, TypeError) as error:
                raise UserError(
                    f"Expected config.{path}, which the study changes, but the experiment has none; choose an "
                    "experiment that has it."
                ) from error
            if value == REMOVED:
                if key in section:
                    del section[key]
            else:
                section[key] = ConfigDict(value) if isinstance(value, Mapping) else value
    return varied


def variant_id(config: ConfigDict, changes: Mapping[str, Any]) -> str:
    """Returns the name of a variant's folder, which depends on its changes only: studies share equal variants.

    A change to the value that the configuration already has is ignored. Without changes the name is "as_configured".
    """
    values, effective = _json_values(config), {}
    for path, value in changes.items():
        before: Any = values
        for key in path.split("."):
            before = before.get(key, REMOVED) if isinstance(before, dict) else REMOVED
        if before != json.loads(json.dumps(value, default=str)):
            effective[path] = value
    if not effective:
        return "as_configured"
    return hashlib.sha256(json.dumps(effective, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _json_values(config: ConfigDict) -> dict[str, Any]:
    return json.loads(config.to_json_best_effort())


class Trainer:
    """Trains and evaluates variants of one experiment with one seed; finished training and evaluation are reused."""

    def __init__(self, config: ConfigDict, workdir: str, phase: str):
        """Splits the experiment into shared phases and varied ones.

        Args:
          config: the experiment, with its seed.
          workdir: the folder of all seeds and variants.
          phase: the phase that is varied.

        Raises:
          UserError: if the experiment has no such phase, or its classifier is not trained before that phase.
        """
        phases = tuple(config.phase_order)
        if phase not in phases:
            raise UserError(
                f"config.phase_order: expected {phase!r} among them, got {', '.join(phases)}; choose an "
                "experiment that trains it."
            )
        self._config, self._phase = config, phase
        self._folder = os.path.join(workdir, f"seed-{config.seed}")
        self._shared = phases[: phases.index(phase)]
        self._phases_by_row = {name: _phases_read(config, name) for name in (*phases, *config.evaluation.row)}
        if not self._is_shared(config.evaluation.classifier):
            raise UserError(
                f"config.evaluation.classifier: expected one that is trained before {phase}, got "
                f"{config.evaluation.classifier!r}, which differs between variants; set it to an earlier phase."
            )

    def check(self, variants: Sequence[Mapping[str, Any]], rows: Sequence[str]) -> None:
        """Checks the changes of all variants and the rows of a study before anything is trained.

        Raises:
          UserError: if a variant's configuration is invalid, or a row is unknown or depends on the variant.
          MissingPackageError: if a metric needs a package that is not installed.
        """
        row_metrics.make_metrics(self._config)
        for changes in variants:
            validate(self._with_rows(vary(self._config, changes), (self._phase,)))
        for row in rows:
            if row not in self._phases_by_row or not self._is_shared(row):
                choices = ", ".join(name for name in self._phases_by_row if self._is_shared(name))
                raise UserError(
                    f"A study compares with {row!r}: expected a phase or row that is trained before {self._phase}, "
                    f"here one of {choices}; add it to the experiment."
                )
        validate(self._with_rows(self._config, (*rows, self._phase)))

    def evaluate_rows(self, rows: Sequence[str]) -> dict[str, Run]:
        """Trains the shared phases and evaluates rows that depend on no other phases.

        The experiment's own rows of this kind are evaluated as well, so that all studies share one evaluation.
        """
        workdir = os.path.join(self._folder, "shared")
        config = self._config.copy_and_resolve_references()
        config.phase_order = self._shared
        if self._shared:
            train(self._with_cache(config), workdir)
        if not rows:
            return {}
        all_rows = dict.fromkeys([*filter(self._is_shared, config.evaluation.report_rows), *rows])
        config = self._with_rows(config, tuple(all_rows))
        result = _evaluate_once(config, workdir)
        return {row: Run(config, workdir, row, result) for row in rows}

    def train_variant(self, changes: Mapping[str, Any]) -> Run:
        """Trains a variant on top of the shared phases, which `evaluate_rows` has trained, and evaluates it."""
        name = variant_id(self._config, changes)
        workdir = os.path.join(self._folder, "variants", name)
        logging.info("Seed %d, variant %s: %s", self._config.seed, name, dict(changes) or "no changes")
        config = self._with_rows(vary(self._config, changes), (self._phase,))
        run_folder.write_json(os.path.join(workdir, "changes.json"), dict(changes))
        for phase in self._shared:
            _link(os.path.join("..", "..", "shared", phase), os.path.join(workdir, phase))
        training_data.inherit(workdir, os.path.join(self._folder, "shared"))
        train(self._with_cache(config), workdir)
        return Run(config, workdir, self._phase, _evaluate_once(config, workdir))

    def _is_shared(self, name: str) -> bool:
        return self._phases_by_row[name] <= {*self._shared}

    def _with_cache(self, config: ConfigDict) -> ConfigDict:
        """Returns the configuration with an image cache that all variants share."""
        config = config.copy_and_resolve_references()
        config.input.cache_dir = config.input.cache_dir or os.path.join(self._folder, "shared", "cache")
        return config

    def _with_rows(self, config: ConfigDict, rows: tuple[str, ...]) -> ConfigDict:
        config = config.copy_and_resolve_references()
        config.evaluation.report_rows = rows
        config.evaluation.threshold_boxes = "ground_truth"  # a variant may lack the row that has the pseudo boxes
        config.evaluation.own_classes = tuple(row for row in config.evaluation.own_classes if row in rows)
        return config


def _phases_read(config: ConfigDict, name: str) -> set[str]:
    """Returns the phases whose weights an evaluated row reads; `name` itself if it is a phase."""
    if name in config.evaluation.row:
        return {source.split(".")[0] for source in config.evaluation.row[name].init_from.values()}
    return {name}


def _link(target: str, path: str) -> None:
    """Links to a phase's folder; the link is relative, so that the workdir can be moved."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(path):
        os.remove(path)
    os.symlink(target, path)


def _evaluate_once(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Returns the result of an evaluation; evaluates unless a result of the same phases and options exists."""
    made_of = {
        "phases": {name: run_folder.run_id(workdir, name) for name in config.phase_order},
        "seed": config.seed,
        **{key: _json_values(config)[key] for key in ("evaluation", "dataset", "backbone")},
        "input": {key: config.input[key] for key in ("resize", "crop", "evaluation_view")},
    }
    record, result = (os.path.join(workdir, "evaluation", name) for name in (_MADE_OF, "result.json"))
    if os.path.exists(record) and os.path.exists(result) and run_folder.read_json(record) == made_of:
        return run_folder.read_json(result)
    keras.backend.clear_session()  # frees the models of the previous variant
    if os.path.exists(record):
        os.remove(record)
    measurement.evaluate(config, workdir)
    run_folder.write_json(record, made_of)
    return run_folder.read_json(result)
