"""Times the rows of an evaluation together and one by one, against the classifier's forward pass.

The run must be trained. Its test images are decoded, go through the methods, and the metrics measure their maps, as in
an evaluation. Together, rows share passes of equal weights; one by one, each row runs alone and their times are added.
All run alternately in one process, on batches after the first; each figure is the median of `--rounds` rounds.

  ORNET_CUB10=FOLDER python -m benchmarks.evaluation_rows --config=configs/cub10.py --workdir=runs/cub10
"""
from __future__ import annotations

import statistics
import time

from absl import app, flags
from ml_collections import config_flags

from benchmarks import _memory
from ornet_tf import build
from ornet_tf.data import loading
from ornet_tf.data.source import Source
from ornet_tf.evaluation.distributed_rows import DistributedRows
from ornet_tf.runs import distribution

_CONFIG = config_flags.DEFINE_config_file("config", None, "the experiment")
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the trained run")
_BATCHES = flags.DEFINE_integer("batches", 2, "timed batches in a round", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "rounds", lower_bound=1)


def seconds_per_image(rows: DistributedRows, source: Source) -> float:
    """Runs the rows on the images, and returns the time of the batches after the first."""
    batches = rows.run_batches(loading.evaluation_batches(rows.config, source))
    next(batches)
    begin = time.perf_counter()
    images = sum(len(truth["label"]) for truth, _ in batches)
    return (time.perf_counter() - begin) / images


def main(_) -> None:
    """Prints a table."""
    config, options = _CONFIG.value, _CONFIG.value.evaluation
    source = loading.load_split(config, options.split)
    source = source.select(range(min(len(source), options.batch_size * (_BATCHES.value + 1))))
    strategy = distribution.local_strategy()
    with strategy.scope():
        models = {
            name: build.trained_method(config, name, _WORKDIR.value, len(source.class_names))
            for name in dict.fromkeys((options.classifier, *options.report_rows))
        }
    sides = {name: DistributedRows(config, strategy, {name: model}) for name, model in models.items()}
    sides["together"] = DistributedRows(config, strategy, models)
    rounds = [{name: seconds_per_image(rows, source) for name, rows in sides.items()} for _ in range(_ROUNDS.value)]
    for figures in rounds:
        figures["one by one"] = sum(figures[name] for name in models)
    forward = [figures[options.classifier] for figures in rounds]
    print(f"{'row':<24}{'s/image':>10}{f'/ {options.classifier}':>14}")
    for name in (*models, "one by one", "together"):
        ratio = statistics.median(figures[name] / alone for figures, alone in zip(rounds, forward))
        print(f"{name:<24}{statistics.median(figures[name] for figures in rounds):>10.3f}{ratio:>14.2f}")
    shared = statistics.median(figures["together"] / figures["one by one"] for figures in rounds)
    print(f"together / one by one: {shared:.2f}. Peak memory: {_memory.read_memory()['VmHWM']} MiB.")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main)
