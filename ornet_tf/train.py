"""Trains the phases of an experiment, one after the other; the same command again goes on where it stopped.

  python -m ornet_tf.train --config=configs/toybirds.py --workdir=runs/toybirds
"""
from __future__ import annotations

import os
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging
from ml_collections import ConfigDict

from ornet_tf import app, assemble, checkpoints, input_pipeline, registry
from ornet_tf.compat import keras
from ornet_tf.datasets import Source
from ornet_tf.methods import Protocol
from ornet_tf.optimizers import make_optimizers, make_schedule
from ornet_tf.summaries import PhaseSummaries, observations


def main(config: ConfigDict, workdir: str) -> None:
    """Trains every phase of the configuration that is not finished yet."""
    train(config, workdir)
    logging.info("All phases are trained. TensorBoard: tensorboard --logdir=%s", workdir)


def train(config: ConfigDict, workdir: str) -> None:
    """Trains the phases in order, each in its own folder of `workdir`.

    Raises:
      ValueError: if the folder holds a run with other settings, or pictures are broken.
      FloatingPointError: if a loss stops being finite.
    """
    strategy = tf.distribute.MirroredStrategy(tf.config.list_logical_devices("GPU") or ["CPU:0"])
    replicas = strategy.num_replicas_in_sync
    for name in config.phases:
        if config.phase[name].batch_size % replicas:
            raise ValueError(
                f"config.phase.{name}.batch_size: expected a multiple of the {replicas} devices, "
                f"got {config.phase[name].batch_size}."
            )
    source = None
    for name in config.phases:
        section = config.phase[name]
        folder = os.path.join(workdir, name)
        settings = {
            "seed": config.seed,
            **{key: config[key].to_dict() for key in ("dataset", "input", "backbone", "generator")},
            "phase": section.to_dict(),
            # A phase that was trained anew makes the phases that started from it outdated.
            "starts_from": {p: checkpoints.run_id(workdir, p) for p in checkpoints.sources(section.init_from)},
        }
        checkpoints.claim(folder, settings)
        if checkpoints.is_finished(folder):
            logging.info("Phase %s is finished already.", name)
            continue
        if source is None:
            source = assemble.load_training_pictures(config)
            assemble.claim_data(workdir, source, config.phases)
            assemble.check_phases(config, source)
        started = time.time()
        steps = _train_phase(config, name, workdir, source, strategy, settings)
        checkpoints.finish(folder, steps=steps, seconds_of_last_start=round(time.time() - started, 1))


def _train_phase(
    config: ConfigDict,
    name: str,
    workdir: str,
    source: Source,
    strategy: tf.distribute.Strategy,
    settings: Mapping[str, Any],
) -> int:
    """Builds, resumes and trains one phase; returns its number of steps."""
    section, training = config.phase[name], config.training
    folder = os.path.join(workdir, name)
    # Start weights depend on seed and phase alone, not on what this process did before.
    keras.utils.set_random_seed((config.seed + zlib.crc32(name.encode())) % 2**31)
    steps = assemble.total_steps(section, source)
    with strategy.scope():
        method = assemble.build_method(config, section, len(source.class_names))
        optimizers = make_optimizers(
            method.trainable_variables,
            schedule=make_schedule(section.learning_rate, section.schedule, section.warmup_steps, steps),
            rate_factors=section.rate_factors,
            trainable=section.trainable,
        )
        saved = checkpoints.PhaseCheckpoints(
            folder, method.parts, [o for o, _ in optimizers], keep=training.keep_checkpoints
        )
        step = saved.restore()
        if step == 0:
            checkpoints.load_parts(method.parts, section.init_from, workdir)
    losses = section.losses.to_dict()
    run_steps = make_run_steps(
        strategy, method, optimizers, losses, steps=steps, batch_size=section.batch_size, seed=config.seed
    )
    batches = input_pipeline.training_batches(
        source,
        batch_size=section.batch_size,
        seed=config.seed,
        first_step=step,
        **{key: config.input[key] for key in ("resize", "crop", "horizontal_flip", "cache")},
    )
    iterator = iter(strategy.experimental_distribute_dataset(batches))
    fixed = _fixed_images(config, source)
    seen, total = step * section.batch_size, steps * section.batch_size
    with PhaseSummaries(folder, settings, first_step=step) as summaries, tqdm.tqdm(
        initial=seen, total=total, desc=name, unit="image", mininterval=1, dynamic_ncols=True
    ) as progress:
        while step < steps:
            begin = time.perf_counter()
            count = min(training.steps_per_loop - step % training.steps_per_loop, steps - step)
            names, values = run_steps(iterator, step, count)  # [M], [count, M]
            _check_finite(name, step, names, values)
            step += count
            means = {key: float(value) for key, value in zip(names, values.mean(axis=0))}
            rate = count * section.batch_size / (time.perf_counter() - begin)
            summaries.scalars(step, {**means, "learning_rate": _rate(optimizers[0][0]), "images_per_second": rate})
            progress.update(count * section.batch_size)
            progress.set_postfix(loss=f"{means['loss']:.3f}", refresh=False)
            if _crossed(step, count, training.summary_every) or step == steps:
                _write_maps(summaries, step, method, fixed)
            if _crossed(step, count, training.checkpoint_every) or step == steps:
                saved.save(step)
    return steps


def make_run_steps(
    strategy: tf.distribute.Strategy,
    method: Protocol,
    optimizers: Sequence[tuple[Any, Sequence[Any]]],
    losses: Mapping[str, Mapping[str, Any]],
    *,
    steps: int,
    batch_size: int,
    seed: int,
):
    """Returns the function that trains.

    Args:
      strategy: what distributes the batch.
      method: the method.
      optimizers: (optimiser, its variables) pairs.
      losses: name -> what `ornet_tf.config.loss` returns.
      steps: of the whole phase: ramps are shares of it.
      batch_size: the global batch size: every loss is a sum over it, divided by it, whatever the number of replicas,
        because the optimiser adds the replicas' gradients up.
      seed: of the random choices in training; they depend on it, the step and the replica.

    Returns:
      run_steps(iterator, first step, count) -> names of the M metrics, their values [count, M].
    """
    names: list[str] = []
    variables = [v for _, members in optimizers for v in members]
    entries = {term: registry.find("losses", fields["plugin"]) for term, fields in losses.items()}

    def ramp(share, step):
        return tf.minimum(1.0, tf.cast(step + 1, tf.float32) / (share * steps)) if share > 0 else 1.0

    def replica_step(batch, step):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        salt = step * strategy.num_replicas_in_sync + tf.cast(replica, tf.int32)
        with tf.GradientTape() as tape:
            outputs = {**batch, **method.forward(batch, training=True, seed=tf.stack([seed, salt]))}
            terms = {}
            total = 0.0
            for term, fields in losses.items():
                inputs = [_tensor(outputs, key, term) for key in fields["inputs"]]
                per_example = entries[term](*inputs, **fields["options"])
                terms[f"loss/{term}"] = tf.reduce_sum(per_example) / batch_size
                total += fields["weight"] * ramp(fields["ramp"], step) * terms[f"loss/{term}"]
        gradients = tape.gradient(total, variables)
        start = 0
        for optimizer, members in optimizers:
            optimizer.apply_gradients(list(zip(gradients[start : start + len(members)], members)))
            start += len(members)
        metrics = {"loss": total, **terms, **observations(outputs, batch_size)}
        names[:] = list(metrics)
        return tf.stack(list(metrics.values()))

    @tf.function
    def loop(iterator, first_step, count):
        history = tf.TensorArray(tf.float32, size=count)
        for index in tf.range(count):
            values = strategy.run(replica_step, (next(iterator), first_step + index))
            history = history.write(index, strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))
        return history.stack()

    def run_steps(iterator, first_step: int, count: int) -> tuple[list[str], np.ndarray]:
        values = loop(iterator, tf.constant(first_step, tf.int32), tf.constant(count, tf.int32)).numpy()
        return list(names), values

    return run_steps


def _tensor(outputs: Mapping[str, tf.Tensor], key: str, term: str) -> tf.Tensor:
    if key not in outputs:
        raise ValueError(f"losses.{term}.inputs: no tensor {key!r}; choose from {', '.join(outputs)}.")
    return outputs[key]


def _check_finite(phase: str, first_step: int, names: Sequence[str], values: np.ndarray) -> None:
    bad_steps = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad_steps.size:
        row = values[bad_steps[0]]
        terms = ", ".join(f"{name} = {value}" for name, value in zip(names, row) if not np.isfinite(value))
        raise FloatingPointError(
            f"Phase {phase}, step {first_step + bad_steps[0]}: {terms}. Training stopped; what was saved before stays. "
            "A smaller learning rate or a warm-up usually helps."
        )


def _crossed(step: int, count: int, interval: int) -> bool:
    return step // interval > (step - count) // interval


def _rate(optimizer) -> float:
    return float(tf.convert_to_tensor(optimizer.learning_rate))


def _fixed_images(config: ConfigDict, source: Source) -> np.ndarray | None:
    """Returns pictures spread over the training split, in the evaluation view, for the maps in TensorBoard."""
    count = min(config.training.summary_images, len(source))
    if not count:
        return None
    chosen = source.select(np.linspace(0, len(source) - 1, count).astype(int))
    return np.concatenate([batch["image"] for batch in assemble.evaluation_batches(config, chosen).as_numpy_iterator()])


def _write_maps(summaries: PhaseSummaries, step: int, method: Protocol, images: np.ndarray | None) -> None:
    outputs = {} if images is None else method.predict(tf.constant(images))
    if "activation_map" in outputs:
        summaries.maps(step, images, {"activation_map": outputs["activation_map"].numpy()})


if __name__ == "__main__":
    app.run(main)
