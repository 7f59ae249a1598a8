"""Builds methods from sections of the configuration. The methods themselves take plain arguments."""
from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from ornet_tf import methods, registry
from ornet_tf.backbones import Backbone
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
      precision: the compute precision of the layers, `float32`, `bfloat16` or `float16`. Weights are always float32.
        Only training uses another precision than float32.

    Returns:
      The method with its start weights.
    """
    options = {**config.generator.to_dict(), **section.generator.to_dict()}
    builders = methods.Builders(
        backbone=functools.partial(_build_backbone, config, num_classes),
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
    """Builds the method of a phase or evaluation row with the trained weights of the run in `workdir`.

    Raises:
      UserError: if a phase is not finished, was trained with other settings, or a part has no weights.
    """
    is_row = name in config.evaluation.row
    section = config.evaluation.row[name] if is_row else config.phase[name]
    # With other values of these settings the weights would load without an error, but into another computation.
    settings = {"backbone": config.backbone.to_dict(), "input": config.input.to_dict()}
    settings["backbone"]["options"].pop("weights", None)
    settings["input"] = {key: settings["input"][key] for key in ("resize", "crop")}
    phases = checkpoints.source_phases(section.init_from) if is_row else [name]
    for phase in phases:
        run_folder.check_origin(workdir, phase)
        run_folder.check_settings(os.path.join(workdir, phase), settings)
    if not is_row:
        generators = {"generator": config.generator.to_dict(), "phase": {"generator": section.generator.to_dict()}}
        run_folder.check_settings(os.path.join(workdir, name), generators)
    method = build_method(drop_start_weights(config), section, num_classes)
    sources = section.init_from if is_row else {part: f"{name}.{part}" for part in method.parts}
    if {*method.parts} - {*sources}:  # the other parts need the backbone's pretrained weights
        missing = weight_origins.find_missing(method.parts, sources, pretrained_layers(config, num_classes))
        if missing:
            where, part = f"config.evaluation.row.{name}", missing[0].split("/")[0]
            advice = f"Set {where}.init_from.{part} to 'PHASE.PART', the phase and part that has them."
            raise UserError(weight_origins.missing_message(missing[0], where, advice))
        method = build_method(config, section, num_classes)
    if is_row and methods.object_prior(method) is not None:  # phases use it in training only
        _check_prior(config, name, method, workdir, num_classes)
    checkpoints.load_parts(method.parts, sources, workdir)
    return method


def _check_prior(config: ConfigDict, name: str, method: methods.Method, workdir: str, num_classes: int) -> None:
    """Checks that a row uses an object prior with the weights and options that it was learned with."""
    sources = config.evaluation.row[name].init_from
    folder = os.path.join(workdir, sources["direction"].split(".")[0])
    if "object_prior" in run_folder.read_settings(folder):  # older runs have these options in the phase section
        run_folder.check_settings(folder, {"object_prior": config.object_prior.to_dict()})
    origins = _trace_phases(drop_start_weights(config), num_classes, None)
    origins.check_row(method, sources, where=f"config.evaluation.row.{name}")


def check_phase_as_row(config: ConfigDict, name: str, num_classes: int, *, where: str) -> None:
    """Checks that a phase whose map is used has trained it; rows are checked by `trained_method`.

    A phase of 0 epochs, such as stage one of configs/object_prior.py, keeps the start weights of its generator.

    Args:
      config: the whole configuration.
      name: of a phase or evaluation row.
      num_classes: K.
      where: what in the configuration names the phase, for the error message.

    Raises:
      UserError: if it has 0 epochs, and a part that the backbone does not have.
    """
    if name in config.evaluation.row or config.phase[name].epochs:
        return
    config = drop_start_weights(config)
    backbone = _build_backbone(config, num_classes)
    of_backbone = frozenset(layer.name for model in (backbone.lower, backbone.upper) for layer in model.layers)
    # Before training it was checked where those of the backbone come from.
    _trace_phases(config, num_classes, of_backbone).check_phase_as_row(name, where=where)


def _trace_phases(
    config: ConfigDict, num_classes: int, pretrained: frozenset[str] | None
) -> weight_origins.WeightOrigins:
    """Returns the origins of the weights of all phases; see `WeightOrigins` for `pretrained`."""
    origins = weight_origins.WeightOrigins(pretrained)
    for name, method, trained in phase_methods(config, num_classes):
        origins.add_phase(name, method, config.phase[name].init_from, trained, where=f"config.phase.{name}")
    return origins


def phase_methods(config: ConfigDict, num_classes: int) -> Iterator[tuple[str, methods.Method, list[Any]]]:
    """Yields the name of each phase, its method, and the variables that it trains; none in a phase of 0 epochs.

    Raises:
      UserError: if an option or an expression for variables does not fit.
    """
    for name in config.phase_order:
        section = config.phase[name]
        method = build_method(config, section, num_classes, precision=section.precision)
        groups = group_by_rate(
            method.trainable_variables, rate_factors=section.rate_factors, trainable=section.trainable
        )
        yield name, method, [variable for members in groups.values() if section.epochs for variable in members]


def pretrained_layers(config: ConfigDict, num_classes: int) -> frozenset[str]:
    """Returns the names of the backbone's layers whose weights come from its weights file; reads the file."""
    if config.backbone.options.get("weights", "") is None:
        return frozenset()
    return _build_backbone(config, num_classes).pretrained


def _build_backbone(config: ConfigDict, num_classes: int) -> Backbone:
    """Builds the backbone; an error about one of its arguments names the path in the configuration."""
    options = config.backbone.options.to_dict()
    build = registry.find("backbones", config.backbone.name)
    try:
        return build(image_size=config.input.crop, num_classes=num_classes, **options)
    except (UserError, FileNotFoundError) as error:
        name, colon, message = str(error).partition(": ")
        paths = {"image_size": "config.input.crop", **{key: f"config.backbone.options.{key}" for key in options}}
        raise type(error)(f"{paths.get(name, name)}{colon}{message}") from None


def drop_start_weights(config: ConfigDict) -> ConfigDict:
    """Returns the configuration with the backbone's option `weights`, if it has one, set to None.

    Use it if all weights will be replaced: a run can then be evaluated and exported without the weights file.
    """
    build = registry.find("backbones", config.backbone.name)
    if "weights" not in inspect.signature(build).parameters:
        return config
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.backbone.options.weights = None
    return config
