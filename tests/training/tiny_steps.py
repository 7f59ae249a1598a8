"""Training steps of the tiny experiment's phases and of rivals, always with the same weights and batches."""
import numpy as np

from ornet_tf import build
from ornet_tf.compat import keras
from ornet_tf.data import input_pipeline, loading
from ornet_tf.models.variables import named_variables
from ornet_tf.training.optimizers import make_optimizers, make_schedule
from ornet_tf.training.step import TrainingStep
from tests import strategies, tiny_experiment, tiny_rivals

PHASES = ("evaluator", "stage_one", "stage_two")
RIVALS = ("hide_and_seek", "adl", "acol")
ONE, TWO = ("CPU:0",), ("CPU:0", "CPU:1")


def make(phase, devices=ONE, *, dropout=0.3, backbone="vgg_small", change=None, precision="float32", learning_rate=1e-3,
         **options):
    """Returns a training step, an iterator over its batches, and its variables by name."""
    experiment = (tiny_rivals if phase in RIVALS else tiny_experiment).get_config()
    if backbone != "vgg_small":
        experiment.backbone = {"name": backbone, "options": {"weights": None}}
    experiment.backbone.options.dropout = dropout
    section = experiment.phase[phase]
    if phase == "evaluator":
        section.options.mask_probability = 0.5
    if change:
        change(section)
    source = loading.load_source(experiment, "train")
    strategy = strategies.mirrored(*devices)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        method = build.build_method(experiment, section, 3, precision=precision)
        optimizers = make_optimizers(
            method.trainable_variables, schedule=make_schedule(learning_rate, "constant", 0, 3),
            trainable=section.trainable,
        )
    step = TrainingStep(
        strategy, method, optimizers, section.losses.to_dict(), steps=10, batch_size=section.batch_size, **options
    )

    def batches(context):
        return input_pipeline.training_batches(
            source, batch_size=section.batch_size, seed=0, resize=36, crop=32, horizontal_flip=True, cache="none",
            share=input_pipeline.Share(0, context.num_replicas_in_sync, context.num_replicas_in_sync),
        )

    iterator = iter(strategy.distribute_datasets_from_function(batches))
    return step, iterator, named_variables(method.parts, trainable_only=False)


def train(phase, devices=ONE, *, steps=1, **options):
    """Trains; returns the metrics of each step, the weights and the optimizers' variables, each by name."""
    step, iterator, variables = make(phase, devices, **options)
    done = step.run(iterator, 0, steps)
    moments = {
        f"{index}/{number}": np.asarray(v)
        for index, (optimizer, _) in enumerate(step.optimizers)
        for number, v in enumerate(optimizer.variables() if callable(optimizer.variables) else optimizer.variables)
        if len(v.shape)
    }
    metrics = {name: done.values[:, column] for column, name in enumerate(done.names)}
    return metrics, {name: np.asarray(v) for name, v in variables.items()}, moments


def assert_close(first, second, **tolerances):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], err_msg=name, **tolerances)
