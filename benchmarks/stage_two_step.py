"""Times a training step of stage two against the same step in PyTorch, and compares its FLOP/s with VGG16's.

The step is that of stage two with frozen low-level layers: lower layers and generator, attentive erasing, the image
masked by the enlarged map, the frozen evaluator's logits and their gradient to the map, three losses, and Adam on the
generator. It runs VGG16 with random
weights on random images. Both sides use all cores and the memory layout that is fastest for them (PyTorch:
channels_last). Each has its own process, and the two run alternately, under the same conditions. FLOPs are those of the
computed convolutions: forward, backward to inputs, and backward to weights that are trained. PyTorch is needed, which
the project does not require:

  pip install torch
  python -m benchmarks.stage_two_step
"""
from __future__ import annotations

import statistics
import subprocess
import sys
import time

import numpy as np
from absl import app, flags

_SIDE = flags.DEFINE_enum("side", "", ["", "tensorflow", "pytorch"], "the side of a child process; empty in the parent")
_SIZE = flags.DEFINE_integer("size", 224, "side of the images in pixels", lower_bound=32)
_BATCH = flags.DEFINE_integer("batch", 16, "images in a batch", lower_bound=1)
_CLASSES = flags.DEFINE_integer("classes", 200, "number of classes", lower_bound=2)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds of each side", lower_bound=1)
_TRAIN_STEPS = flags.DEFINE_integer("steps", 2, "steps of a round", lower_bound=1)
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # (convolutions, filters) of VGG16
_LOWER = 2  # blocks before the split
_WIDTHS = (64, 128, 256, 512)  # of the generator's levels


def random_batch() -> tuple[np.ndarray, np.ndarray]:
    """Returns images float32 [B, H, W, 3] in 0..255 and labels int32 [B]."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, [_BATCH.value, _SIZE.value, _SIZE.value, 3]).astype(np.float32)
    return images, rng.integers(0, _CLASSES.value, [_BATCH.value]).astype(np.int32)


def multiplications() -> dict[str, float]:
    """Returns the multiplications per image in the convolutions of "vgg16" (a forward pass) and of the "step"."""
    side, channels = _SIZE.value, 3
    by_block = []
    for count, filters in _BLOCKS:
        by_block.append(side**2 * 9 * filters * (channels + (count - 1) * filters))
        side, channels = side // 2, filters
    # Each level has two convolutions downwards and two upwards. The first one downwards reads the previous level, the
    # first one upwards reads the skip connection and the level below. The second ones read the first.
    side, generator, first = _SIZE.value // 2**_LOWER, 0.0, 0.0
    for level, width in enumerate(_WIDTHS):
        before = _WIDTHS[level - 1] if level else _BLOCKS[_LOWER - 1][1]
        pixels = (side // 2**level) ** 2
        generator += 9 * pixels * width * (before + width)
        if level == 0:
            first = 9 * pixels * width * before
        if level + 1 < len(_WIDTHS):
            generator += 9 * pixels * width * (width + _WIDTHS[level + 1] + width)
    vgg16 = float(sum(by_block))
    # The generator computes forward, to weights and to inputs, except to the frozen features. The evaluator computes
    # forward and to inputs.
    return {"vgg16": vgg16, "step": sum(by_block[:_LOWER]) + 3 * generator - first + 2 * vgg16}


def tensorflow_side():
    """Returns two functions that take a number: "step" runs training steps, "forward" runs forward passes of VGG16."""
    import tensorflow as tf

    from ornet_tf import build, config, randomness
    from ornet_tf.training import optimizers
    from ornet_tf.training.step import TrainingStep

    experiment = config.default()
    experiment.backbone.options.weights = None
    experiment.input.update({"resize": _SIZE.value, "crop": _SIZE.value})
    section = experiment.phase.stage_two
    section.options.freeze_lower = True
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        method = build.build_method(experiment, section, _CLASSES.value)
        trained = optimizers.make_optimizers(method.trainable_variables, schedule=1e-4)
    step = TrainingStep(
        strategy, method, trained, section.losses.to_dict(), steps=10**6, batch_size=_BATCH.value
    )
    images, labels = random_batch()
    indices = tf.range(_BATCH.value, dtype=tf.int64)
    batch = {
        "image": images, "label": labels, "index": indices, "key": randomness.key(0, tf.constant(0, tf.int64), indices)
    }
    iterator = iter(strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(batch).cache().repeat()))
    lower, upper = method.parts["evaluator_lower"], method.parts["evaluator_upper"]
    pixels = tf.constant(images)

    @tf.function
    def forward():
        return upper(lower(pixels, training=False), training=False)["logits"]

    def steps(count):
        step.run(iterator, 0, count)

    def forwards(count):
        for _ in range(count):
            forward().numpy()

    return {"step": steps, "forward": forwards}


def serve(functions) -> None:
    """Runs the commands on standard input, such as "step 2", and prints the seconds of each."""
    for function in functions.values():
        function(1)  # traces, compiles, allocates
    print("ready", flush=True)
    for line in sys.stdin:
        name, count = line.split()
        begin = time.perf_counter()
        functions[name](int(count))
        print(time.perf_counter() - begin, flush=True)


def start(side: str) -> subprocess.Popen:
    """Starts the process of a side and waits until it is ready."""
    command = [sys.executable, "-m", "benchmarks.stage_two_step", f"--side={side}"]
    command += [f"--{name}={flags.FLAGS[name].value}" for name in ("size", "batch", "classes")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != "ready\n":
        sys.exit(f"The side {side} did not start. Expected PyTorch to be installed: pip install torch")
    return process


def measure(process, name: str, count: int) -> float:
    """Runs a function of a side `count` times; returns images per second."""
    process.stdin.write(f"{name} {count}\n")
    process.stdin.flush()
    return count * _BATCH.value / float(process.stdout.readline())


def main(_) -> None:
    """Runs one of the sides, or prints the table."""
    if _SIDE.value == "tensorflow":
        serve(tensorflow_side())
    elif _SIDE.value == "pytorch":
        from benchmarks import _stage_two_pytorch

        serve(_stage_two_pytorch.functions(*random_batch(), classes=_CLASSES.value))
    else:
        compare()


def compare() -> None:
    """Measures both sides and prints the table."""
    sides = {side: start(side) for side in ("tensorflow", "pytorch")}
    work = multiplications()
    print(f"VGG16, {_SIZE.value} pixels, batches of {_BATCH.value}, {_CLASSES.value} classes; images/s", flush=True)
    print(f"{'round':<8}{'ours':>9}{'PyTorch':>9}{'ratio':>8}{'VGG16 (ours)':>14}{'(PyTorch)':>11}{'FLOP/s ratio':>14}")
    rows = []
    for number in range(_ROUNDS.value):
        ours, theirs = (measure(process, "step", _TRAIN_STEPS.value) for process in sides.values())
        forward, their_forward = (measure(process, "forward", 2 * _TRAIN_STEPS.value) for process in sides.values())
        flops_ratio = ours * work["step"] / (forward * work["vgg16"])
        rows.append((ours, theirs, ours / theirs, forward, their_forward, flops_ratio))
        print_row(number + 1, rows[-1])
    print_row("median", [statistics.median(column) for column in zip(*rows)])
    print(
        f"GFLOP per image: step {2 * work['step'] / 1e9:.1f}, VGG16 forward {2 * work['vgg16'] / 1e9:.1f}. "
        "FLOP/s ratio: our step against our VGG16 forward pass."
    )
    for process in sides.values():
        process.stdin.close()
        process.wait()


def print_row(title, row) -> None:
    """Prints a row of the table."""
    ours, theirs, ratio, forward, their_forward, flops = row
    speeds = f"{ours:>9.3f}{theirs:>9.3f}{ratio:>8.2f}{forward:>14.3f}{their_forward:>11.3f}{flops:>14.2f}"
    print(f"{title!s:<8}{speeds}", flush=True)


if __name__ == "__main__":
    app.run(main)
