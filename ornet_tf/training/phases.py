"""Trains the phases of an experiment in order. An interrupted run resumes from its last checkpoint."""
from __future__ import annotations

import contextlib
import gc
import os
import typing
import zlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from absl import logging
from ml_collections import ConfigDict

from ornet_tf import build, methods
from ornet_tf.compat import keras
from ornet_tf.data import input_pipeline, loading
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError
from ornet_tf.models import layers
from ornet_tf.runs import checkpoints, code_version, distribution, interruption, run_folder
from ornet_tf.training import phase_check, pseudo_masks, training_images
from ornet_tf.training.frozen_features import FrozenFeatures
from ornet_tf.training.loop import PhaseLoop
from ornet_tf.training.optimizers import make_optimizers, make_schedule
from ornet_tf.training.preview import Preview, fixed_images
from ornet_tf.training.step import TrainingStep
from ornet_tf.training.summaries import PhaseSummaries


class _Run(typing.NamedTuple):
    """The values that all phases of a run share."""

    config: ConfigDict
    workdir: str
    strategy: tf.distribute.Strategy
    signals: interruption.Interruption
    profile: bool
    source: Source
    features: FrozenFeatures
    shown_images: np.ndarray


def train(config: ConfigDict, workdir: str, *, allow_changed_settings: bool = False, profile: bool = False) -> None:
    """Trains the phases in order, each in its own folder of `workdir`.

    Args:
      config: the configuration, checked by `ornet_tf.config_check.validate`.
      workdir: the folder of the run.
      allow_changed_settings: whether to resume a run that was started with other settings.
      profile: whether to profile some steps of each phase for TensorBoard.

    Raises:
      UserError: if the folder is in use or has a run with other settings, or images are broken.
      OSError: if a checkpoint can't be written.
      NotFiniteError: if a loss or a gradient becomes NaN or infinite.
      Interrupted: after SIGTERM or SIGINT, when a checkpoint is saved, or if another worker has stopped.
    """
    with contextlib.ExitStack() as held:
        # Joining a cluster makes TensorFlow handle SIGTERM, so `listen` must come after it.
        strategy = distribution.make_strategy()
        signals = held.enter_context(interruption.listen())
        _check_replicas(config, strategy)
        process = "" if distribution.is_chief(strategy) else distribution.worker_name(strategy)
        held.enter_context(run_folder.lock(workdir, process))
        held.enter_context(distribution.explain_lost_workers(strategy))
        finished = [name for name in config.phase_order if run_folder.is_finished(os.path.join(workdir, name))]
        distribution.check_same_on_all_workers(strategy, {
            "config": config.to_json_best_effort(sort_keys=True),
            "finished phases": " ".join(finished),
        })
        run, commit = None, code_version.commit()
        for name in config.phase_order:
            settings = _claim(config, workdir, strategy, name, allow_changed_settings)
            distribution.barrier(strategy)
            if run_folder.is_finished(os.path.join(workdir, name)):
                logging.info("Phase %s is already finished.", name)
                continue
            if run is None:
                source = training_images.load(config, workdir, strategy)
                phase_check.check(config, source)
                features = _frozen_features(config, workdir, source)
                run = _Run(config, workdir, strategy, signals, profile, source, features, fixed_images(config, source))
            facts = _train_phase(run, name, settings)
            if distribution.is_chief(strategy):
                run_folder.mark_finished(os.path.join(workdir, name), commit=commit, **facts)
            distribution.barrier(strategy)


def _check_replicas(config: ConfigDict, strategy: tf.distribute.Strategy) -> None:
    for name in config.phase_order:
        try:
            options = {key: config.phase[name][key] for key in ("batch_size", "gradient_accumulation", "xla")}
            distribution.check_replicas(strategy, **options)
        except UserError as error:
            raise UserError(f"config.phase.{name}.{error}") from error


def _frozen_features(config: ConfigDict, workdir: str, source: Source) -> FrozenFeatures:
    views = {**loading.view_sizes(config), **{key: config.input[key] for key in ("horizontal_flip", "cache")}}
    return FrozenFeatures(source, cache_dir=_cache_dir(config, workdir), **views)


def _cache_dir(config: ConfigDict, workdir: str) -> str:
    return config.input.cache_dir or os.path.join(workdir, "cache")


def _claim(config: ConfigDict, workdir: str, strategy: tf.distribute.Strategy, name: str, allow_changes: bool) -> dict:
    """Stores the settings of a phase, or checks them against the stored ones; returns them."""
    section, folder = config.phase[name], os.path.join(workdir, name)
    settings = {
        "seed": config.seed,
        **{key: config[key].to_dict() for key in ("dataset", "backbone", "generator")},
        # The cache does not affect training.
        "input": {k: v for k, v in config.input.to_dict().items() if k not in ("cache", "cache_dir")},
        "phase": section.to_dict(),
        **({"object_prior": config.object_prior.to_dict()} if section.options.get("object_prior") else {}),
        # If a phase is trained again, phases that started from it are outdated.
        "starts_from": {p: run_folder.run_id(workdir, p) for p in checkpoints.source_phases(section.init_from)},
    }
    if distribution.is_chief(strategy):
        learned = checkpoints.latest_checkpoint(folder) is not None
        if learned and not allow_changes:
            run_folder.check_origin(workdir, name)
        run_folder.bind_settings(folder, settings, learned=learned, allow_changes=allow_changes)
    return settings


def _train_phase(run: _Run, name: str, settings: dict) -> dict:
    """Builds, resumes and trains one phase; returns the facts that `mark_finished` stores."""
    config, strategy, section, source = run.config, run.strategy, run.config.phase[name], run.source
    folder = os.path.join(run.workdir, name)
    # The start weights depend only on the seed and the phase, not on earlier phases in this process.
    keras.utils.set_random_seed((config.seed + zlib.crc32(name.encode())) % 2**31)
    steps = total_steps(section, source)
    gc.collect()  # frees the image caches of the previous phase; its graphs form reference cycles
    with strategy.scope():
        method, optimizers = build_phase(config, name, len(source.class_names), steps=steps)
    training_step = TrainingStep(
        strategy,
        method,
        optimizers,
        section.losses.to_dict(),
        steps=steps,
        batch_size=section.batch_size,
        gradient_accumulation=section.gradient_accumulation,
        scale_loss=section.precision == "float16",
        xla=section.xla,
    )
    is_chief = distribution.is_chief(strategy)
    saved = checkpoints.PhaseCheckpoints(
        folder,
        method.parts,
        [optimizer for optimizer, _ in optimizers],
        keep=config.training.keep_checkpoints,
        state=training_step.state,
        is_chief=is_chief,
    )
    boxes = {key: config.evaluation[key] for key in ("threshold", "box_rule")}
    loop = PhaseLoop(
        training_step,
        saved,
        Preview(method, run.shown_images, kernels=training_step.kernels, **boxes),
        name=name,
        steps=steps,
        batch_size=section.batch_size,
        learning_rate=lambda: float(tf.convert_to_tensor(optimizers[0][0].learning_rate)),
        profile_to=os.path.join(folder, "tensorboard") if run.profile and is_chief else "",
        **{key: config.training[key] for key in ("steps_per_loop", "checkpoint_every", "summary_every")},
    )
    step = loop.resume()
    distribution.check_same_on_all_workers(strategy, {"step of the newest checkpoint": str(step)})
    if step == 0:
        checkpoints.load_parts(method.parts, section.init_from, run.workdir)
    if section.cache_frozen_features:
        training_step.use_frozen_features(_cached_features(run, name, method, learns=step == 0, trains=steps > 0))
    # Without the random ids of other phases, so that equal configurations and seeds give equal summaries.
    shown = {key: value for key, value in settings.items() if key != "starts_from"}
    with PhaseSummaries(folder, shown, first_step=step) if is_chief else contextlib.nullcontext() as summaries:
        loop.run(_batches(run, section, step) if steps else None, summaries, run.signals, first_step=step)
    return loop.report_speed()


def _cached_features(run: _Run, name: str, method: methods.Method, *, learns: bool, trains: bool):
    """Returns the cached features that a phase trains on, with pseudo masks if it needs them; may learn its prior."""
    config, prior = run.config, methods.object_prior(method)
    learns = learns and prior is not None and prior.learns
    if not (learns or trains):
        return None
    later = config.phase_order[config.phase_order.index(name) + 1 :]
    # For the next phase only: a phase in between that caches nothing may train what is frozen here.
    keep_all = bool(later) and config.phase[later[0]].cache_frozen_features
    cached = run.features.of(method, keep_all=keep_all)
    if learns:
        pseudo_masks.learn_prior(prior, cached, run.features, run.source.labels)
    return pseudo_masks.add(prior, cached, run.features, run.source.labels) if prior and trains else cached


def _batches(run: _Run, section: ConfigDict, first_step: int):
    """Returns an iterator over the strategy's batches, starting at a step."""
    options = run.config.input

    def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = context.num_replicas_in_sync // context.num_input_pipelines
        return input_pipeline.training_batches(
            run.source,
            batch_size=section.batch_size,
            seed=run.config.seed,
            first_step=first_step,
            random_crop=section.random_crop,
            share=input_pipeline.Share(context.input_pipeline_id * local, local, context.num_replicas_in_sync),
            cache_dir=_cache_dir(run.config, run.workdir),
            **loading.view_sizes(run.config, random_crop=section.random_crop),
            **{key: options[key] for key in ("horizontal_flip", "cache")},
        )

    return distribution.batches(run.strategy, make_dataset)


def build_phase(config: ConfigDict, name: str, num_classes: int, *, steps: int):
    """Builds the method and the optimizers of a phase. Call it in the scope of the strategy.

    Args:
      config: the whole configuration.
      name: the name of the phase.
      num_classes: K.
      steps: the steps of the phase, for the learning rate schedule.

    Returns:
      The method with its start weights, and its (optimizer, variables) pairs; none for 0 steps.

    Raises:
      UserError: if an option or a regular expression for variables does not fit.
    """
    section = config.phase[name]
    method = build.build_method(config, section, num_classes, precision=section.precision)
    schedule = make_schedule(section.learning_rate, section.schedule, section.warmup_steps, steps)
    choice = {key: section[key] for key in ("rate_factors", "trainable")}
    # The moments of an optimizer take twice the memory of the weights, so a phase of 0 steps has none.
    optimizers = make_optimizers(method.trainable_variables, schedule=schedule, **choice) if steps else []
    for part in method.parts.values():
        layers.freeze_untrained(part, [v for _, members in optimizers for v in members])
    return method, optimizers


def total_steps(section: Mapping, source: Source) -> int:
    """Returns the number of steps of a phase: its epochs times the steps of an epoch; 0 epochs only have 0 steps."""
    epochs, batch_size = section["epochs"], section["batch_size"]
    return max(1, round(epochs * input_pipeline.steps_per_epoch(source, batch_size))) if epochs else 0
