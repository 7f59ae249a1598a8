"""Checks a whole configuration before any work: every name, option and reference."""
from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from ornet_tf import config as ornet
from ornet_tf import methods, option_types, paths, registry
from ornet_tf.data import image_cache, input_pipeline
from ornet_tf.errors import UserError
from ornet_tf.maps import addons_components
from ornet_tf.models import generator, object_prior

# Sections whose keys are defined by the user or by a plug-in.
_OPEN = ("options", "phase", "losses", "init_from", "row", "metric_options")


def validate(config: ConfigDict) -> None:
    """Checks every name, option and reference of a configuration.

    Raises:
      UserError: if something is wrong; the message has the config path, what was expected and what came.
    """
    _check_types(config, ornet.default(), "config")
    for _, phase, where in _subsections(config.phase, "config.phase"):
        _check_types(phase, ornet.phase(""), where)
        for _, fields, path in _subsections(phase.losses, f"{where}.losses"):
            _check_types(fields, ornet.loss(""), path)
    for _, row, where in _subsections(config.evaluation.row, "config.evaluation.row"):
        _check_types(row, ornet.row(""), where)
    if not 0 <= config.seed < 2**31:
        raise UserError(f"config.seed: expected a whole number from 0 to 2147483647, got {config.seed}.")
    _check_plugin("datasets", config.dataset, "config.dataset")
    _check_plugin("backbones", config.backbone, "config.backbone", given=("image_size", "num_classes"))
    _check_positive(config.input, "config.input", "resize", "crop")
    if config.input.crop > config.input.resize:
        raise UserError(f"config.input.crop: expected at most resize = {config.input.resize}, got {config.input.crop}.")
    _check_choice(config.input.evaluation_view, ("centre_crop", "whole"), "config.input.evaluation_view")
    _check_choice(config.input.broken_images, input_pipeline.BROKEN_IMAGES, "config.input.broken_images")
    _check_choice(config.input.cache, image_cache.KINDS, "config.input.cache")
    if config.input.cache_dir:  # "": a folder of the run
        paths.local(config.input.cache_dir, "config.input.cache_dir")
    object_prior.check_options(**config.object_prior)
    generator.check_options("config.generator", **config.generator)
    _check_phases_and_rows(config)
    counts = ("steps_per_loop", "checkpoint_every", "keep_checkpoints", "summary_every")
    _check_positive(config.training, "config.training", *counts)
    _check_not_negative(config.training, "config.training", "summary_images")
    evaluation = config.evaluation
    _check_positive(evaluation, "config.evaluation", "batch_size")
    _check_not_negative(evaluation, "config.evaluation", "bootstrap_samples", "cases", "gallery_images")
    for key in ("threshold", "iou_threshold"):
        if not 0 < evaluation[key] < 1:
            raise UserError(f"config.evaluation.{key}: expected a number between 0 and 1, got {evaluation[key]!r}.")
    _check_choice(evaluation.box_rule, ("tight", "largest"), "config.evaluation.box_rule")
    _check_metrics(evaluation)
    _check_choice(config.export.threshold, ("fixed", "chosen"), "config.export.threshold")
    _check_choice(config.export.optimize_for, ("auto", "cpu", "gpu"), "config.export.optimize_for")
    _check_positive(config.export, "config.export", "max_boxes", "max_bytes", "max_pixels")
    if not 0 <= config.export.min_box_score <= 1:
        raise UserError(f"config.export.min_box_score: expected a number in 0..1, got {config.export.min_box_score!r}.")
    max_boxes, split_boxes = config.export.max_boxes, config.export.split_boxes
    if evaluation.box_rule != "largest" and (max_boxes > 1 or split_boxes):
        raise UserError(
            f"config.export: expected max_boxes = 1 and split_boxes = False with config.evaluation.box_rule = "
            f"{evaluation.box_rule!r}, got {max_boxes} and {split_boxes}. Set box_rule to 'largest' for several boxes."
        )
    if evaluation.components != "auto":  # which is always valid; importing the addons takes seconds
        try:
            addons_components.use_addons(evaluation.components)
        except UserError as error:
            raise UserError(f"config.evaluation.{error}") from error


def _check_phases_and_rows(config: ConfigDict) -> None:
    _check_strings(config.phase_order, "config.phase_order")
    if not config.phase_order:
        raise UserError(f"config.phase_order is empty: expected at least one of {', '.join(config.phase)}.")
    phases: list[str] = []
    for name in config.phase_order:
        if name not in config.phase:
            raise UserError(f"config.phase_order: no config.phase.{name}; choose from {', '.join(config.phase)}.")
        if name in phases:
            raise UserError(f"config.phase_order: expected each phase once, got {name!r} twice.")
        _check_phase(config, name, phases)
        phases.append(name)
    evaluation = config.evaluation
    for key in ("report_rows", "own_classes"):
        _check_strings(evaluation[key], f"config.evaluation.{key}")
    used = [(f"evaluation.{key}", name) for key in ("report_rows", "own_classes") for name in evaluation[key]]
    for option, name in [*used, ("evaluation.classifier", evaluation.classifier), ("export.row", config.export.row)]:
        if name in evaluation.row:
            _check_method(config, evaluation.row[name], f"config.evaluation.row.{name}", phases)
        elif name not in phases:
            choices = ", ".join([*phases, *evaluation.row])
            raise UserError(f"config.{option}: {name!r} is neither in phase_order nor a row; choose from {choices}.")
    if evaluation.threshold_boxes != "ground_truth":
        _check_pseudo_boxes(config, evaluation.threshold_boxes, phases)


def _check_pseudo_boxes(config: ConfigDict, name: str, phases: list[str]) -> None:
    where, row = "config.evaluation.threshold_boxes", config.evaluation.row.get(name)
    if row is not None:
        _check_method(config, row, f"config.evaluation.row.{name}", phases)
    if row is None or not hasattr(registry.find("methods", row.method), "pseudo_masks"):
        raise UserError(f"{where}: expected 'ground_truth' or a row with pseudo masks ('object_prior'), got {name!r}.")
    if not any(config.phase[phase].options.get("object_prior") for phase in phases):
        raise UserError(f"{where}: expected 'ground_truth', as no phase has an object prior, got {name!r}.")
    if not config.evaluation.threshold_split:
        raise UserError(f"{where}: expected config.evaluation.threshold_split to name a split for {name!r}, got ''.")


def _subsections(sections: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any, str]]:
    """Yields the name, the section and the config path of each section in a section."""
    for name, section in sections.items():
        if expected := option_types.describe_mismatch(section, ConfigDict()):
            raise UserError(f"{where}.{name}: expected {expected}, got {section!r}.")
        yield name, section, f"{where}.{name}"


def _check_strings(values: Any, where: str) -> None:
    for value in values:
        if not isinstance(value, str):
            raise UserError(f"{where}: expected strings, got {value!r} among them.")


def _check_types(section: Any, default: Any, where: str) -> None:
    """Checks that a section has the keys of its default, and values of the same types."""
    for key, value in section.items():
        if key not in default:
            hint = registry.did_you_mean(key, default)
            raise UserError(f"{where}.{key}: unknown option; choose from {', '.join(default)}.{hint}")
        if (expected := option_types.describe_mismatch(value, default[key])) and default[key] is not None:
            raise UserError(f"{where}.{key}: expected {expected}, got {value!r}.")
        if hasattr(default[key], "keys") and default[key] and key not in _OPEN:
            _check_types(value, default[key], f"{where}.{key}")
    if missing := [key for key in default if key not in section]:
        raise UserError(f"{where}.{missing[0]}: expected a value, got none. Start from ornet_tf.config.default().")


def _check_plugin(family: str, section: ConfigDict, where: str, given: tuple[str, ...] = ()) -> None:
    entry = registry.find(family, section.name, where=f"{where}.name")
    registry.check_options(entry, section.options, where=f"{where}.options", given=given)


def _check_phase(config: ConfigDict, name: str, earlier: list[str]) -> None:
    section, where = config.phase[name], f"config.phase.{name}"
    _check_method(config, section, where, earlier)
    _check_positive(section, where, "batch_size", "learning_rate", "gradient_accumulation")
    _check_choice(section.schedule, ("cosine", "constant"), f"{where}.schedule")
    _check_choice(section.precision, ("float32", "bfloat16", "float16"), f"{where}.precision")
    _check_not_negative(section, where, "epochs", "warmup_steps")
    _check_expressions(section, where)
    if section.cache_frozen_features and section.random_crop and config.input.crop != config.input.resize:
        expected = f"False with random crops of {config.input.crop} of {config.input.resize} pixels"
        raise UserError(f"{where}.cache_frozen_features: expected {expected}, got True. Or set random_crop to False.")
    if section.batch_size % section.gradient_accumulation:
        expected = f"a divisor of batch_size = {section.batch_size}"
        raise UserError(f"{where}.gradient_accumulation: expected {expected}, got {section.gradient_accumulation}.")
    if not section.losses:
        raise UserError(f"{where}.losses: expected at least one term, got none.")
    for term, fields in section.losses.items():
        path = f"{where}.losses.{term}"
        entry = registry.find("losses", fields.plugin, where=f"{path}.plugin")
        registry.check_options(entry, fields.options, where=f"{path}.options")
        _check_inputs(entry, fields.inputs, f"{path}.inputs")
        if not -math.inf < fields.weight < math.inf:
            raise UserError(f"{path}.weight: expected a finite number, got {fields.weight!r}.")
        if not 0 <= fields.ramp <= 1:
            raise UserError(f"{path}.ramp: expected a share of the phase in 0..1, got {fields.ramp!r}.")


def _check_inputs(loss: Callable[..., Any], names: Any, where: str) -> None:
    """Checks the number of a loss's input tensors. Their names are checked in training, where they are known."""
    _check_strings(names, where)
    parameters = inspect.signature(loss).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return
    tensors = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    least = sum(p.default is p.empty for p in tensors)
    if not least <= len(names) <= len(tensors):
        expected = f"the name of a tensor for each of {', '.join(p.name for p in tensors)}"
        raise UserError(f"{where}: expected {expected}; got {', '.join(names) or 'none'}.")


def _check_expressions(section: ConfigDict, where: str) -> None:
    """Checks the regular expressions that select variables."""
    for pair in section.rate_factors:
        is_pair = isinstance(pair, (list, tuple)) and len(pair) == 2
        is_factor = is_pair and not option_types.describe_mismatch(pair[1], float) and 0 <= pair[1] < math.inf
        if not is_factor:
            expected = "pairs of a regular expression and a number of at least 0"
            raise UserError(f"{where}.rate_factors: expected {expected}, got {pair!r} among them.")
    for key, patterns in (("trainable", section.trainable), ("rate_factors", [p for p, _ in section.rate_factors])):
        _check_strings(patterns, f"{where}.{key}")
        for pattern in patterns:
            try:
                re.compile(pattern)
            except (re.error, OverflowError) as error:  # OverflowError: too large a repetition count
                raise UserError(f"{where}.{key}: expected a regular expression, got {pattern!r}: {error}.") from error


def _check_method(config: ConfigDict, section: ConfigDict, where: str, earlier: list[str]) -> None:
    entry = registry.find("methods", section.method, where=f"{where}.method")
    registry.check_options(entry, section.options, where=f"{where}.options")
    methods.check_head(entry, config.backbone.options.get("head"), where=f"{where}.method")
    try:
        methods.check_ranges(entry, section.options.to_dict())
    except UserError as error:
        raise UserError(f"{where}.options.{error}") from error
    given = ("num_classes", "last_shape")
    registry.check_options(generator.build, section.generator, where=f"{where}.generator", given=given)
    generator.check_options(f"{where}.generator", **{**config.generator, **section.generator})
    for part, source in section.init_from.items():
        if not isinstance(source, str) or source.split(".")[0] not in earlier or source.count(".") != 1:
            expected = f"'phase.part' with an earlier phase ({', '.join(earlier) or 'none'})"
            raise UserError(f"{where}.init_from.{part}: expected {expected}, got {source!r}.")


def _check_metrics(evaluation: ConfigDict) -> None:
    if not evaluation.metrics:
        raise UserError("config.evaluation.metrics: expected at least one, got none.")
    _check_strings(evaluation.metrics, "config.evaluation.metrics")
    path = "config.evaluation.metric_options"
    given = {name: options for name, options, _ in _subsections(evaluation.metric_options, path)}
    for name in (*evaluation.metrics, *given):
        entry = registry.find("metrics", name, where="config.evaluation.metrics")
        registry.check_options(entry, given.get(name, {}), where=f"{path}.{name}")


def _check_positive(section: ConfigDict, where: str, *keys: str) -> None:
    for key in keys:
        if not 0 < section[key] < math.inf:
            raise UserError(f"{where}.{key}: expected a positive number, got {section[key]!r}.")


def _check_not_negative(section: ConfigDict, where: str, *keys: str) -> None:
    for key in keys:
        if not 0 <= section[key] < math.inf:
            raise UserError(f"{where}.{key}: expected at least 0, got {section[key]!r}.")


def _check_choice(value: Any, choices: tuple[str, ...], where: str) -> None:
    if value not in choices:
        raise UserError(f"{where}: expected one of {', '.join(choices)}, got {value!r}.")
