"""Measures time and memory of the generator's two heads against the direct form, which computes all K class maps.

Each run is a forward and a backward pass, to all weights and to the decoder's features [B, h, w, c], with the losses of
stage one (map and auxiliary logits) or of stage two (map only). Each form has its own process; the two run alternately.
Seconds are medians of `--rounds` runs. Memory is the growth of the process's peak in the first run.

  python -m benchmarks.generator_head
"""
from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

from absl import app, flags

_CLASSES = flags.DEFINE_multi_integer("classes", [10, 200, 1000], "numbers of classes")
_SIZE = flags.DEFINE_integer("size", 56, "height and width of the features", lower_bound=3)
_CHANNELS = flags.DEFINE_integer("channels", 64, "channels of the features", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 16, "images in a batch", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "runs of each form", lower_bound=1)
_FORM = flags.DEFINE_enum("form", "", ["", "direct", "ours"], "the form of a child process; empty in the parent")
_STAGE = flags.DEFINE_enum("stage", "one", ["one", "two"], "the stage whose losses a child process uses")


def direct_heads(x, num_classes: int):
    """Maps features [B, h, w, c] to the activation map and the auxiliary logits through all class maps."""
    from ornet_tf.compat import keras
    from ornet_tf.models.layers import batch_norm

    class_maps = keras.layers.Conv2D(num_classes, 1)(x)
    score = keras.layers.Conv2D(1, 3, padding="same", use_bias=False)(class_maps)
    activation_map = keras.layers.Activation("sigmoid")(batch_norm("map_norm")(score))
    return activation_map, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(num_classes, 1)(class_maps))


def build_work(num_classes: int):
    """Returns a function that computes losses and gradients of this process's form once."""
    import tensorflow as tf

    from ornet_tf.compat import keras
    from ornet_tf.models import generator

    inputs = keras.Input((_SIZE.value, _SIZE.value, _CHANNELS.value))
    if _FORM.value == "direct":
        outputs = direct_heads(inputs, num_classes)
    else:
        activation_map, _, logits = generator._heads(inputs, num_classes, 1.0)
        outputs = activation_map, logits
    heads = keras.Model(inputs, outputs)
    shape = [_BATCH.value, _SIZE.value, _SIZE.value, _CHANNELS.value]
    features = tf.nn.relu(tf.random.stateless_normal(shape, [1, 2]))
    labels = tf.random.stateless_uniform([_BATCH.value], [3, 4], 0, num_classes, tf.int32)

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(features)
            activation_map, logits = heads(features, training=True)
            loss = tf.reduce_sum(tf.square(activation_map))
            if _STAGE.value == "one":
                loss += tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        results = tape.gradient(loss, [features, *heads.trainable_weights])
        return [tf.reduce_sum(tf.square(gradient)) for gradient in results if gradient is not None]

    gradients.get_concrete_function()  # tracing is not measured
    return lambda: [norm.numpy() for norm in gradients()]


def serve(function) -> None:
    """Answers each line of standard input with the seconds of one run and the growth of the peak memory in MiB."""
    before = peak_memory()
    function()
    growth = peak_memory() - before
    print("ready", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        function()
        print(time.perf_counter() - begin, growth, flush=True)


def peak_memory() -> float:
    """Returns the peak of the process's resident memory in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(num_classes: int, stage: str) -> None:
    """Measures both forms and prints a line of the table."""
    children = []
    for form in ("direct", "ours"):
        command = [sys.executable, "-m", "benchmarks.generator_head", f"--form={form}", f"--stage={stage}"]
        command += [f"--{name}={flags.FLAGS[name].value}" for name in ("size", "channels", "batch")]
        command.append(f"--classes={num_classes}")
        children.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        if children[-1].stdout.readline() != "ready\n":
            sys.exit(f"The form {form} did not start.")
    answers = [[], []]
    for _ in range(_ROUNDS.value):
        for child, answer in zip(children, answers):
            child.stdin.write("\n")
            child.stdin.flush()
            answer.append([float(word) for word in child.stdout.readline().split()])
    for child in children:
        child.stdin.close()
        child.wait()
    medians = ([statistics.median(column) for column in zip(*answer)] for answer in answers)
    (direct_time, direct_memory), (our_time, our_memory) = medians
    times = f"{direct_time:>10.3f} s{our_time:>9.3f} s{direct_time / our_time:>7.1f} x"
    memories = f"{direct_memory:>12.0f} MiB{our_memory:>8.0f} MiB{direct_memory / max(our_memory, 1.0):>7.1f} x"
    print(f"{num_classes:<9}{stage:<7}{times}{memories}", flush=True)


def main(_) -> None:
    """Prints the table."""
    if _FORM.value:
        serve(build_work(_CLASSES.value[0]))
        return
    print(f"features [{_BATCH.value}, {_SIZE.value}, {_SIZE.value}, {_CHANNELS.value}], forward and backward")
    print(f"{'classes':<9}{'stage':<7}{'direct':>12}{'ours':>11}{'ratio':>9}{'direct':>16}{'ours':>12}{'ratio':>9}")
    for num_classes in _CLASSES.value:
        for stage in ("one", "two"):
            compare(num_classes, stage)


if __name__ == "__main__":
    app.run(main)
