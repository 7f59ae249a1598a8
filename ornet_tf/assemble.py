"""Turns sections of a configuration into data and models: where configuration ends and plain arguments begin."""
from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
from absl import logging
from ml_collections import ConfigDict

from ornet_tf import (
    checked_pictures,
    checkpoints,
    generator,
    input_pipeline,
    layers,
    methods,
    registry,
    run_folder,
    seeds,
    training_data,
    weight_origins,
)
from ornet_tf.compat import keras
from ornet_tf.datasets import MissingSplit, Source
from ornet_tf.errors import UserError
from ornet_tf.evaluation_pipeline import evaluation_batches as batches_of_truth
from ornet_tf.optimizers import make_optimizers, make_schedule

# What was found when pictures were looked at, in the workdir.
_CHECKED = "checked_pictures.json"


def load_source(config: ConfigDict, split: str) -> Source:
    """Loads a split of the configured data set without looking at its pictures."""
    return registry.find("datasets", config.dataset.name)(split, **config.dataset.options.to_dict())


def load_split(config: ConfigDict, split: str) -> Source:
    """Loads a split of the configured data set and checks its pictures, and boxes and masks that evaluation needs."""
    return load_checked(config, split).source


def load_training_pictures(config: ConfigDict, workdir: str) -> Source:
    """Loads the training split, checks its pictures, and those that evaluation will need, and binds the run to them.

    So all that is broken is listed at once, and before training. A data set that lacks a split of the evaluation can be
    trained on; what evaluation will say about it is logged. What was found is remembered, so that a run that goes on
    need not decode it all again: once a file has changed, its split is looked at anew.

    Raises:
      UserError: if pictures or tables of any of these splits can't be used, or the run has learned from others.
    """
    path = os.path.join(workdir, _CHECKED)
    known = run_folder.read_json(path) if os.path.exists(path) else {}
    loaded, problems = {}, []
    for split in dict.fromkeys(["train", config.evaluation.split, config.evaluation.threshold_split]):
        try:
            if split:
                loaded[split] = load_checked(config, split, known)
        except MissingSplit as error:
            if split == "train":
                raise
            logging.warning("There will be no evaluation on %s: %s", split, error)
        except UserError as error:
            problems.append(f"The {split} split: {error}")
    run_folder.write_json(path, known)
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    training_data.claim(workdir, loaded["train"], config.phases)
    return loaded["train"].source


def training_pictures_as_checked(config: ConfigDict, workdir: str) -> Source:
    """Loads the training split without what another process of the run has found broken; no picture is looked at."""
    known = run_folder.read_json(os.path.join(workdir, _CHECKED))
    return checked_pictures.without(load_source(config, "train"), known["train"]["left_out"])


def load_checked(config: ConfigDict, split: str, known: dict[str, dict] | None = None) -> checked_pictures.Checked:
    """Does what `load_split` does, and returns what else is known then; see `checked_pictures.check` for `known`."""
    source = load_source(config, split)
    if not len(source):
        raise UserError(f"config.dataset: the {split} split of {config.dataset.name} is empty.")
    options = config.evaluation
    return checked_pictures.check(
        source,
        split,
        broken_images=config.input.broken_images,
        protocols=options.protocols,
        is_measured=split in (options.split, options.threshold_split),
        known=known,
    )


def evaluation_batches(config: ConfigDict, source: Source) -> tf.data.Dataset:
    """Returns the batches of `source` in the evaluation view."""
    return batches_of_truth(
        source, batch_size=config.evaluation.batch_size, resize=config.input.resize, crop=config.input.crop
    )


def build_method(
    config: ConfigDict, section: ConfigDict, num_classes: int, *, precision: str = "float32"
) -> methods.Protocol:
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
        object_prior=functools.partial(seeds.Seeds, **config.object_prior.to_dict()),
    )
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision if precision == "float32" else f"mixed_{precision}")
    try:
        return registry.find("methods", section.method)(builders, **section.options.to_dict())
    finally:
        keras.mixed_precision.set_global_policy(before)


def build_phase(config: ConfigDict, name: str, num_classes: int, *, steps: int):
    """Builds what a phase trains, in the scope of the strategy that it is called in.

    Args:
      config: the whole configuration.
      name: of the phase.
      num_classes: K.
      steps: of the phase, which the learning rate depends on.

    Returns:
      The method with its parts' start weights, and its (optimiser, variables) pairs.

    Raises:
      UserError: if an option or an expression for variables does not fit.
    """
    section = config.phase[name]
    method = build_method(config, section, num_classes, precision=section.precision)
    optimizers = make_optimizers(
        method.trainable_variables,
        schedule=make_schedule(section.learning_rate, section.schedule, section.warmup_steps, steps),
        rate_factors=section.rate_factors,
        trainable=section.trainable,
    )
    for part in method.parts.values():
        layers.freeze_convolutions(part, [v for _, members in optimizers for v in members])
    return method, optimizers


def trained_method(config: ConfigDict, name: str, workdir: str, num_classes: int) -> methods.Protocol:
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
    phases = checkpoints.sources(section.init_from) if is_row else [name]
    for phase in phases:
        run_folder.check_origin(workdir, phase)
        run_folder.check_settings(os.path.join(workdir, phase), shaping)
    if not is_row:
        own = {"generator": config.generator.to_dict(), "phase": {"generator": section.generator.to_dict()}}
        run_folder.check_settings(os.path.join(workdir, name), own)
    method = build_method(without_start_weights(config), section, num_classes)
    sources = section.init_from if is_row else {part: f"{name}.{part}" for part in method.parts}
    if {*method.parts} - {*sources}:  # the others are the backbone's own
        lacking = weight_origins.missing(method.parts, sources, pretrained_layers(config, num_classes))
        if lacking:
            where, part = f"config.evaluation.row.{name}", lacking[0].split("/")[0]
            advice = f"Set {where}.init_from.{part} to 'PHASE.PART', a phase and its part that has them."
            raise UserError(weight_origins.without_weights(lacking[0], where, advice))
        method = build_method(config, section, num_classes)
    if is_row and getattr(method, "prior", None) is not None:  # phases read it in training only
        _check_prior(config, name, method, workdir, num_classes)
    checkpoints.load_parts(method.parts, sources, workdir)
    return method


def _check_prior(config: ConfigDict, name: str, method: methods.Protocol, workdir: str, num_classes: int) -> None:
    """Checks that a row reads an object prior as it was learned: with the same weights and options."""
    sources = config.evaluation.row[name].init_from
    folder = os.path.join(workdir, sources["direction"].split(".")[0])
    if "object_prior" in run_folder.settings(folder):  # older runs have it among the phase's options
        run_folder.check_settings(folder, {"object_prior": config.object_prior.to_dict()})
    origins = weight_origins.Origins(None)
    for phase, built, trained in build_phases(without_start_weights(config), num_classes):
        origins.add_phase(phase, built, config.phase[phase].init_from, trained, where=f"config.phase.{phase}")
    origins.check_row(method, sources, where=f"config.evaluation.row.{name}")


def build_phases(config: ConfigDict, num_classes: int) -> Iterator[tuple[str, methods.Protocol, list[Any]]]:
    """Yields the name of each phase, its method, and the variables that its optimisers change."""
    for name in config.phases:
        method, optimizers = build_phase(config, name, num_classes, steps=1)
        yield name, method, [variable for _, members in optimizers for variable in members]


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


def total_steps(section: Mapping, source: Source) -> int:
    """Returns the steps of a phase: its epochs over the training pictures, at least one."""
    return max(1, round(section["epochs"] * input_pipeline.steps_per_epoch(source, section["batch_size"])))
