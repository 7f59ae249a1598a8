"""The check of a whole configuration before any work: every name, option and reference."""
from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from ornet_tf import addons_components, input_pipeline, option_types, picture_cache, registry, seeds
from ornet_tf import config as ornet
from ornet_tf.errors import UserError

# Sections whose names are the user's, or a plug-in's.
_OPEN = ("options", "phase", "losses", "init_from", "row", "protocol_options")


def validate(config: ConfigDict) -> None:
    """Checks every name, option and reference of a configuration.

    Raises:
      UserError: one sentence with the config path, what was expected and what came.
    """
    _kinds(config, ornet.default(), "config")
    for name, phase in config.phase.items():
        _kinds(phase, ornet.phase(name), f"config.phase.{name}")
        for term, fields in phase.losses.items():
            _kinds(fields, ornet.loss(""), f"config.phase.{name}.losses.{term}")
    for name, row in config.evaluation.row.items():
        _kinds(row, ornet.row(name), f"config.evaluation.row.{name}")
    if not 0 <= config.seed < 2**31:
        raise UserError(f"config.seed: expected a whole number from 0 to 2147483647, got {config.seed}.")
    _plugin("datasets", config.dataset, "config.dataset")
    _plugin("backbones", config.backbone, "config.backbone", given=("image_size", "num_classes"))
    _positive(config.input, "config.input", "resize", "crop")
    if config.input.crop > config.input.resize:
        most = config.input.resize
        raise UserError(f"config.input.crop: expected at most resize = {most}, got {config.input.crop}.")
    _choice(config.input.broken_images, input_pipeline.BROKEN_IMAGES, "config.input.broken_images")
    _choice(config.input.cache, picture_cache.KINDS, "config.input.cache")
    seeds.check_options(**config.object_prior)
    known: list[str] = []
    for name in config.phases:
        if name not in config.phase:
            raise UserError(f"config.phases: no config.phase.{name}; choose from {', '.join(config.phase)}.")
        _phase(config, name, known)
        known.append(name)
    counts = ("steps_per_loop", "checkpoint_every", "keep_checkpoints", "summary_every")
    _positive(config.training, "config.training", *counts)
    evaluation = config.evaluation
    for name in (*evaluation.rows, evaluation.classifier, *evaluation.own_classes, config.export.row):
        if name in evaluation.row:
            _method(evaluation.row[name], f"config.evaluation.row.{name}", known)
        elif name not in known:
            choices = ", ".join([*known, *evaluation.row])
            raise UserError(f"config.evaluation: {name!r} is neither a phase nor a row; choose from {choices}.")
    _positive(evaluation, "config.evaluation", "batch_size")
    for key in ("threshold", "iou_threshold"):
        if not 0 < evaluation[key] < 1:
            raise UserError(f"config.evaluation.{key}: expected a number between 0 and 1, got {evaluation[key]!r}.")
    _choice(evaluation.box_rule, ("tight", "largest"), "config.evaluation.box_rule")
    _protocols(evaluation)
    _choice(config.export.threshold, ("fixed", "chosen"), "config.export.threshold")
    _positive(config.export, "config.export", "max_boxes", "max_bytes", "max_pixels")
    if config.export.max_boxes > 1 and evaluation.box_rule != "largest":
        raise UserError(
            f"config.export.max_boxes: expected 1, got {config.export.max_boxes}; more boxes are those of the largest "
            f"components and need config.evaluation.box_rule = 'largest', which is {evaluation.box_rule!r}."
        )
    if evaluation.components != "auto":  # which is always right, and takes seconds to look for the addons
        try:
            addons_components.use_addons(evaluation.components)
        except UserError as error:
            raise UserError(f"config.evaluation.{error}") from error


def _kinds(section: Any, default: Any, where: str) -> None:
    """Checks that a section has the names of its default, and values of the same kinds."""
    for key, value in section.items():
        if key not in default:
            hint = registry.did_you_mean(key, default)
            raise UserError(f"{where}.{key}: unknown option; choose from {', '.join(default)}.{hint}")
        expected = option_types.wrong(value, default[key])
        if expected and default[key] is not None:
            raise UserError(f"{where}.{key}: expected {expected}, got {value!r}.")
        if hasattr(default[key], "keys") and default[key] and key not in _OPEN:
            _kinds(value, default[key], f"{where}.{key}")
    missing = [key for key in default if key not in section]
    if missing:
        raise UserError(f"{where}.{missing[0]}: expected a value, got none; begin with ornet_tf.config.default().")


def _plugin(family: str, section: ConfigDict, where: str, given: tuple[str, ...] = ()) -> None:
    entry = registry.find(family, section.name, where=f"{where}.name")
    registry.check_options(entry, {**section.options, **dict.fromkeys(given, 1)}, where=f"{where}.options")


def _phase(config: ConfigDict, name: str, known: list[str]) -> None:
    section, where = config.phase[name], f"config.phase.{name}"
    _method(section, where, known)
    _positive(section, where, "epochs", "batch_size", "learning_rate", "accumulate")
    _choice(section.schedule, ("cosine", "constant"), f"{where}.schedule")
    _choice(section.precision, ("float32", "bfloat16", "float16"), f"{where}.precision")
    if section.reuse_frozen and section.random_crop and config.input.crop != config.input.resize:
        views = f"with random crops of {config.input.crop} of {config.input.resize} pixels a picture has too many views"
        raise UserError(f"{where}.reuse_frozen: expected False unless random_crop is, got True: {views} to keep.")
    if section.batch_size % section.accumulate:
        expected = f"a divisor of batch_size = {section.batch_size}"
        raise UserError(f"{where}.accumulate: expected {expected}, got {section.accumulate}.")
    if not section.losses:
        raise UserError(f"{where}.losses: expected at least one term, got none.")
    for term, fields in section.losses.items():
        path = f"{where}.losses.{term}"
        entry = registry.find("losses", fields.plugin, where=f"{path}.plugin")
        registry.check_options(entry, fields.options, where=f"{path}.options")
        if not 0 <= fields.ramp <= 1:
            raise UserError(f"{path}.ramp: expected a share of the phase, 0..1, got {fields.ramp!r}.")


def _method(section: ConfigDict, where: str, known: list[str]) -> None:
    entry = registry.find("methods", section.method, where=f"{where}.method")
    registry.check_options(entry, section.options, where=f"{where}.options")
    for part, source in section.init_from.items():
        if source.split(".")[0] not in known or source.count(".") != 1:
            raise UserError(
                f"{where}.init_from.{part}: expected 'phase.part' with an earlier phase "
                f"({', '.join(known) or 'none'}), got {source!r}."
            )


def _protocols(evaluation: ConfigDict) -> None:
    if not evaluation.protocols:
        raise UserError("config.evaluation.protocols: expected at least one, got none.")
    for name in (*evaluation.protocols, *evaluation.protocol_options):
        entry = registry.find("protocols", name, where="config.evaluation.protocols")
        options = evaluation.protocol_options.get(name, {})
        registry.check_options(entry, options, where=f"config.evaluation.protocol_options.{name}")
    for key in ("bootstrap_samples", "cases"):
        if evaluation[key] < 0:
            raise UserError(f"config.evaluation.{key}: expected at least 0, got {evaluation[key]!r}.")


def _positive(section: ConfigDict, where: str, *keys: str) -> None:
    for key in keys:
        if not section[key] > 0:
            raise UserError(f"{where}.{key}: expected a positive number, got {section[key]!r}.")


def _choice(value: Any, choices: tuple[str, ...], where: str) -> None:
    if value not in choices:
        raise UserError(f"{where}: expected one of {', '.join(choices)}, got {value!r}.")
