"""Estimates the cost of training a configuration: FLOPs, hours at an assumed rate, and hours on this machine.

Each phase is built as in training, with random weights; it needs no data set and no download. FLOPs per image are
counted in the graph of a real training step, for convolutions and matrix products only (`_flops.py`), and multiplied by
the images of all steps. Image checks, checkpoints and evaluation are not included; `cache_frozen_features` and `xla`
are ignored. The same step is then timed on one GPU, or else on the CPU.

  python -m benchmarks.training_cost --config=configs/cub.py --images=5994 --classes=200
  python -m benchmarks.training_cost --config=configs/imagenet.py --images=1281167 --classes=1000
"""
from __future__ import annotations

import sys

from absl import app, flags
from ml_collections import config_flags

from benchmarks import _flops
from ornet_tf import config_check
from ornet_tf.training import phases

_CONFIG = config_flags.DEFINE_config_file("config", None, "the experiment; --config.a.b=value replaces a value of it")
_IMAGES = flags.DEFINE_integer("images", None, "images in the training split", lower_bound=1)
_CLASSES = flags.DEFINE_integer("classes", None, "number of classes", lower_bound=2)
_BATCH = flags.DEFINE_integer("batch", 2, "images in the batch that is counted and timed", lower_bound=1)
_TIMED_STEPS = flags.DEFINE_integer("steps", 3, "timed steps of each phase; 0 for none", lower_bound=0)
# Peaks from NVIDIA's data sheets in float32 and in dense TF32, which TensorFlow uses for float32 if available:
# V100 SXM2 15.7 and none, A100 19.5 and 156, H100 SXM 67 and 495.
_TERAFLOPS = flags.DEFINE_float("teraflops", 15.7, "peak of the GPU in TFLOP/s; a V100's in float32", lower_bound=0.01)
# A V100 took 83.5 ms (PyTorch 0.3) and 71.7 ms (TensorFlow 1.5) for VGG16 forward and backward in float32 with 16
# images of 224 pixels (https://github.com/u39kun/deep-learning-benchmark). At 92.6 GFLOP per image that is 1.13 and
# 1.32 of its peak, presumably due to cuDNN's Winograd filtering. 1.0 leaves time for batch normalization and updates.
_UTILISATION = flags.DEFINE_float("utilisation", 1.0, "share of the peak that counted FLOPs reach", lower_bound=0.001)


def main(_) -> None:
    """Prints the table."""
    config = _CONFIG.value
    try:
        config_check.validate(config)
        steps = {name: phases.total_steps(config.phase[name], range(_IMAGES.value)) for name in config.phase_order}
    except (ValueError, TypeError) as error:
        sys.exit(f"Error: --config or --images={_IMAGES.value}: {error}")
    print(
        f"{_IMAGES.value} images of {_CLASSES.value} classes, {config.input.crop} pixels. GPU: "
        f"{_UTILISATION.value:.0%} of {_TERAFLOPS.value:g} TFLOP/s."
    )
    print(f"{'phase':<11}{'epochs':>7}{'batch':>6}{'steps':>8}{'images':>10}{'GFLOP each':>12}{'PFLOP':>10}", end="")
    print(f"{'GPU, h':>9}{'images/s':>10}{'here: GFLOP/s':>15}{'images/s':>10}{'hours':>10}{'ratio':>7}", flush=True)
    totals = [0.0, 0.0, 0.0]
    for name in filter(steps.get, steps):  # phases of 0 epochs keep their start weights
        totals = [total + value for total, value in zip(totals, measure_phase(name, steps[name]))]
    print_row("all", "", *totals)


def measure_phase(name: str, steps: int) -> tuple[float, float, float]:
    """Prints the row of a phase; returns its FLOPs, its seconds on the assumed GPU and its seconds on this machine."""
    section = _CONFIG.value.phase[name]
    step = _flops.Step(_CONFIG.value, name, num_classes=_CLASSES.value, batch_size=_BATCH.value)
    counted = step.flops()
    per_image = sum(counted[kind] for kind in _flops.PRODUCTS)
    images = steps * section.batch_size
    on_gpu = per_image / (1e12 * _TERAFLOPS.value * _UTILISATION.value)
    here = step.seconds(_TIMED_STEPS.value) / _BATCH.value if _TIMED_STEPS.value else 0.0
    facts = f"{section.epochs:>7g}{section.batch_size:>6}{steps:>8}{images:>10}{per_image / 1e9:>12.2f}"
    print_row(name, facts, images * per_image, images * on_gpu, images * here, images)
    parts = ", ".join(f"{kind} {count / 1e9:.2f}" for kind, count in counted.items() if count > 5e6)
    print(f"{'':<11}  {parts}", flush=True)
    return images * per_image, images * on_gpu, images * here


def print_row(title: str, facts: str, flops: float, on_gpu: float, here: float, images: int = 0) -> None:
    """Prints a row of the table.

    Args:
      title: name of the phase.
      facts: the columns about the phase's settings.
      flops: total FLOPs.
      on_gpu: total seconds on the assumed GPU.
      here: total seconds on this machine; 0 leaves its columns out.
      images: total images; 0 leaves speeds out.
    """

    def speed(seconds):
        return f"{images / seconds:.2f}" if images else ""

    row = f"{title:<11}{facts:>43}{flops / 1e15:>10.1f}{on_gpu / 3600:>9.2f}{speed(on_gpu):>10}"
    if here:
        row += f"{flops / here / 1e9:>15.0f}{speed(here):>10}{here / 3600:>10.0f}{here / on_gpu:>7.0f}"
    print(row, flush=True)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "images", "classes"])
    app.run(main)
