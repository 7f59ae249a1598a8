"""Trains and evaluates an experiment and its variants, which share the phases before the varied one.

    <workdir>/seed-0/as_configured/   the unchanged experiment, a run like that of `ornet_tf.train`
    <workdir>/seed-0/variants/<id>/   the varied phase, and links to the experiment's phases before it
"""
from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
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

EXPERIMENT = "as_configured"  # the folder of the unchanged experiment
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

    A change to the value that the configuration already has is ignored. Without changes the name is `EXPERIMENT`.
    """
    values, effective = _json_values(config), {}
    for path, value in changes.items():
        before: Any = values
        for key in path.split("."):
            before = before.get(key, REMOVED) if isinstance(before, dict) else REMOVED
        if before != json.loads(json.dumps(value, default=str)):
            effective[path] = value
    if not effective:
        return EXPERIMENT
    return hashlib.sha256(json.dumps(effective, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _json_values(config: ConfigDict) -> dict[str, Any]:
    return json.loads(config.to_json_best_effort())


def varied_phase(variants: Iterable[Mapping[str, Any]]) -> str:
    """Returns the phase whose options the variants of a study change; "" if nothing is changed.

    Raises:
      ValueError: if a change is not one of a phase, or not of the same one.
    """
    sections = {tuple(path.split(".")[:2]) for changes in variants for path in changes}
    if not sections:
        return ""
    if len(sections) > 1 or next(iter(sections))[0] != "phase":
        raise ValueError(f"The variants of a study must change one phase, got changes of {sorted(sections)}.")
    return sections.pop()[1]


class Trainer:
    """Trains and evaluates one experiment and its variants with one seed; what is finished is reused."""

    def __init__(self, config: ConfigDict, workdir: str):
        """Keeps the experiment, with its seed, and the folder of all seeds."""
        self._config = config
        self._folder = os.path.join(workdir, f"seed-{config.seed}")
        self._experiment = os.path.join(self._folder, EXPERIMENT)

    def check_folder(self) -> None:
        """Checks that the folder of the seed is not of an earlier version, whose variants can't be resumed.

        Raises:
          UserError: if it is.
        """
        earlier = os.path.join(self._folder, "shared")
        if os.path.lexists(earlier):
            raise UserError(
                f"--workdir: expected studies of this version, with the experiment in {self._experiment}, got "
                f"{earlier}, which an earlier version wrote; set another --workdir, or remove {self._folder}."
            )

    def check(self, rows: Iterable[str], variants: Iterable[Mapping[str, Any]]) -> None:
        """Checks the rows and variants of a study before anything is trained.

        Raises:
          UserError: if a row is unknown, a variant's configuration is invalid, or variants differ in the classifier
            whose logits give the class.
        """
        config, variants = self._config, list(variants)
        for row in rows:
            validate(self._with_rows(config, (row,)))
        phase = varied_phase(variants)
        if not phase:
            return
        for changes in variants:
            validate(self._variant(changes, phase))
        classifier = config.evaluation.classifier
        if not _phases_read(config, classifier) <= {*self._phases_before(phase)}:
            raise UserError(
                f"config.evaluation.classifier: expected one that is trained before {phase}, got {classifier!r}, which "
                "differs between variants; set it to an earlier phase."
            )

    def is_changed(self, changes: Mapping[str, Any]) -> bool:
        """Returns whether a variant differs from the experiment."""
        return variant_id(self._config, changes) != EXPERIMENT

    def evaluate_experiment(self, rows: Iterable[str]) -> dict[str, Run]:
        """Trains the unchanged experiment and evaluates rows of it.

        Rows of an earlier evaluation with the same options are kept, so that studies share one evaluation.

        Returns:
          The runs by row. A row without an activation map has none.
        """
        train(self._config, self._experiment)
        result = _evaluate(self._with_rows(self._config, tuple(rows)), self._experiment)
        return {row: Run(self._config, self._experiment, row, result) for row in rows if row in result["rows"]}

    def evaluate_variant(self, changes: Mapping[str, Any], phase: str) -> Run:
        """Trains the varied phase on top of the experiment's phases before it, and evaluates its row."""
        name = variant_id(self._config, changes)
        workdir = os.path.join(self._folder, "variants", name)
        logging.info("Seed %d, variant %s: %s", self._config.seed, name, dict(changes))
        config = self._variant(changes, phase)
        run_folder.write_json(os.path.join(workdir, "changes.json"), dict(changes))
        for before in self._phases_before(phase):
            _link(os.path.join("..", "..", EXPERIMENT, before), os.path.join(workdir, before))
        training_data.inherit(workdir, self._experiment)
        train(config, workdir)
        return Run(config, workdir, phase, _evaluate(config, workdir))

    def _phases_before(self, phase: str) -> tuple[str, ...]:
        """Returns the phases before one of the experiment's.

        Raises:
          UserError: if the experiment does not train that phase.
        """
        phases = tuple(self._config.phase_order)
        if phase not in phases:
            raise UserError(
                f"config.phase_order: expected {phase!r} among them, got {', '.join(phases)}; choose an experiment "
                "that trains it."
            )
        return phases[: phases.index(phase)]

    def _variant(self, changes: Mapping[str, Any], phase: str) -> ConfigDict:
        """Returns the configuration of a variant up to the varied phase, with the experiment's cache of images."""
        config = self._with_rows(vary(self._config, changes), (phase,))
        config.phase_order = (*self._phases_before(phase), phase)
        config.evaluation.own_classes = tuple(row for row in config.evaluation.own_classes if row == phase)
        config.export.row = phase
        config.input.cache_dir = config.input.cache_dir or os.path.join(self._experiment, "cache")
        return config

    def _with_rows(self, config: ConfigDict, rows: tuple[str, ...]) -> ConfigDict:
        config = config.copy_and_resolve_references()
        config.evaluation.report_rows = rows
        config.evaluation.threshold_boxes = "ground_truth"  # a variant may lack the row that has the pseudo boxes
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


def _evaluate(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Returns a result with all rows of config.evaluation.report_rows, and those of an earlier evaluation.

    It evaluates unless there is such a result of the same phases and options.
    """
    values = _json_values(config)
    made_of = {
        "phases": {name: run_folder.run_id(workdir, name) for name in config.phase_order},
        "seed": config.seed,
        "evaluation": {key: value for key, value in values["evaluation"].items() if key != "report_rows"},
        **{key: values[key] for key in ("dataset", "backbone")},
        "input": {key: values["input"][key] for key in ("resize", "crop", "evaluation_view")},
    }
    record, result = (os.path.join(workdir, "evaluation", name) for name in (_MADE_OF, "result.json"))
    rows: list[str] = []
    if os.path.exists(record) and os.path.exists(result):
        earlier = run_folder.read_json(record)
        rows = earlier["rows"] if earlier.get("made_of") == made_of else []
    if {*config.evaluation.report_rows} <= {*rows}:
        return run_folder.read_json(result)
    keras.backend.clear_session()  # frees the models of the previous variant
    if os.path.exists(record):
        os.remove(record)
    config = config.copy_and_resolve_references()
    config.evaluation.report_rows = tuple(dict.fromkeys([*rows, *config.evaluation.report_rows]))
    measurement.evaluate(config, workdir)
    run_folder.write_json(record, {"made_of": made_of, "rows": list(config.evaluation.report_rows)})
    return run_folder.read_json(result)
