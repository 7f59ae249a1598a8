"""Turns sections of a configuration into methods: where configuration ends and plain arguments begin."""
from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from ornet_tf import methods, registry
from ornet_tf.compat import keras
from ornet_tf.errors import UserError
from ornet_tf.models import generator, object_prior
from ornet_tf.models.variables import group_by_rate
from ornet_tf.runs import checkpoints, run_folder, weight_origins


def build_method(
    config: ConfigDict, section: ConfigDict, num_classes: int, *, precision: str = "float32"
) -> methods.Method:
    """Builds the method of a phase or row.

    Args:
      config: the whole configuration.
      section: config.phase.<name> or config.evaluation.row.<name>.
      num_classes: K.
      precision: what layers compute in, `float32`, `bfloat16` or `float16`. Weights are float32 always, so that only
        training needs to say it.

    Returns:
      The method with its parts' start weights.
    """
    backbone = functools.partial(
        registry.find("backbones", config.backbone.name),
        image_size=config.input.crop,
        num_classes=num_classes,
        **config.backbone.options.to_dict(),
    )
    options = {**config.generator.to_dict(), **section.generator.to_dict()}
    builders = methods.Builders(
        backbone=backbone,
        generator=functools.partial(generator.build, num_classes=num_classes, **options),
        object_prior=functools.partial(object_prior.ObjectPrior, **config.object_prior.to_dict()),
    )
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision if precision == "float32" else f"mixed_{precision}")
    try:
        return registry.find("methods", section.method)(builders, **section.options.to_dict())
    finally:
        keras.mixed_precision.set_global_policy(before)


def trained_method(config: ConfigDict, name: str, workdir: str, num_classes: int) -> methods.Method:
    """Builds the method of a phase or evaluation row with the weights that the run in `workdir` has learned.

    Raises:
      UserError: if a phase is not finished, was trained with other settings, or a part has no weights.
    """
    is_row = name in config.evaluation.row
    section = config.evaluation.row[name] if is_row else config.phase[name]
    # What shapes the computation but not the weights: with another value the wrong model would load without a word.
    shaping = {"backbone": config.backbone.to_dict(), "input": config.input.to_dict()}
    shaping["backbone"]["options"].pop("weights", None)
    shaping["input"] = {key: shaping["input"][key] for key in ("resize", "crop")}
    phases = checkpoints.source_phases(section.init_from) if is_row else [name]
    for phase in phases:
        run_folder.check_origin(workdir, phase)
        run_folder.check_settings(os.path.join(workdir, phase), shaping)
    if not is_row:
        own = {"generator": config.generator.to_dict(), "phase": {"generator": section.generator.to_dict()}}
        run_folder.check_settings(os.path.join(workdir, name), own)
    method = build_method(without_start_weights(config), section, num_classes)
    sources = section.init_from if is_row else {part: f"{name}.{part}" for part in method.parts}
    if {*method.parts} - {*sources}:  # the others are the backbone's own
        lacking = weight_origins.find_missing(method.parts, sources, pretrained_layers(config, num_classes))
        if lacking:
            where, part = f"config.evaluation.row.{name}", lacking[0].split("/")[0]
            advice = f"Set {where}.init_from.{part} to 'PHASE.PART', a phase and its part that has them."
            raise UserError(weight_origins.missing_message(lacking[0], where, advice))
        method = build_method(config, section, num_classes)
    if is_row and getattr(method, "prior", None) is not None:  # phases read it in training only
        _check_prior(config, name, method, workdir, num_classes)
    checkpoints.load_parts(method.parts, sources, workdir)
    return method


def _check_prior(config: ConfigDict, name: str, method: methods.Method, workdir: str, num_classes: int) -> None:
    """Checks that a row reads an object prior as it was learned: with the same weights and options."""
    sources = config.evaluation.row[name].init_from
    folder = os.path.join(workdir, sources["direction"].split(".")[0])
    if "object_prior" in run_folder.read_settings(folder):  # older runs have it among the phase's options
        run_folder.check_settings(folder, {"object_prior": config.object_prior.to_dict()})
    origins = weight_origins.Origins(None)
    for phase, built, trained in phase_methods(without_start_weights(config), num_classes):
        origins.add_phase(phase, built, config.phase[phase].init_from, trained, where=f"config.phase.{phase}")
    origins.check_row(method, sources, where=f"config.evaluation.row.{name}")


def phase_methods(config: ConfigDict, num_classes: int) -> Iterator[tuple[str, methods.Method, list[Any]]]:
    """Yields the name of each phase, its method, and the variables that it trains.

    Raises:
      UserError: if an option or an expression for variables does not fit.
    """
    for name in config.phases:
        section = config.phase[name]
        method = build_method(config, section, num_classes, precision=section.precision)
        groups = group_by_rate(
            method.trainable_variables, rate_factors=section.rate_factors, trainable=section.trainable
        )
        yield name, method, [variable for members in groups.values() for variable in members]


def pretrained_layers(config: ConfigDict, num_classes: int) -> frozenset[str]:
    """Returns the names of the backbone's layers whose weights come from a file; reads that file."""
    if config.backbone.options.get("weights", "") is None:
        return frozenset()
    build = registry.find("backbones", config.backbone.name)
    return build(image_size=config.input.crop, num_classes=num_classes, **config.backbone.options).pretrained


def without_start_weights(config: ConfigDict) -> ConfigDict:
    """Returns the configuration with the backbone's `weights`, if it has that option, set to None.

    All of them are about to be replaced, so a run can be evaluated and exported where that file is not.
    """
    build = registry.find("backbones", config.backbone.name)
    if "weights" not in inspect.signature(build).parameters:
        return config
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.backbone.options.weights = None
    return config
