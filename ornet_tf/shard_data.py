"""Copies a data set to a few large files, the shards, for training with millions of images.

  python -m ornet_tf.shard_data --config=configs/cub.py --output=cub_shards [--images_per_shard=1000]

All splits of the configured data set are copied: encoded files unchanged, with names, labels, classes, boxes and masks.
Train with them by `--config.dataset.name=shards --config.dataset.options="{'root': 'cub_shards'}"`. The same command
continues after an interruption.
"""
from __future__ import annotations

from absl import flags, logging
from ml_collections import ConfigDict

from ornet_tf import app, paths
from ornet_tf.data.source import SPLITS, MissingSplit
from ornet_tf.runs import interruption


def start() -> None:
    """Runs this program; `python -m ornet_tf.datasets shard` calls it too."""
    options = {
        "output": flags.DEFINE_string("output", None, "The folder of the shards: new, empty or of this command."),
        "images_per_shard": flags.DEFINE_integer(
            "images_per_shard", 1000, "The number of images in a file.", lower_bound=1
        ),
    }
    flags.mark_flag_as_required("output")
    app.run(main, options=options, when_ended=interruption.RESUMES)


def main(config: ConfigDict, *, output: str, images_per_shard: int) -> None:
    """Writes the shards."""
    from ornet_tf.data import loading, shard_writer  # late, as importing TensorFlow takes seconds

    folder = paths.local(output, "--output")
    sources = {}
    for split in SPLITS:
        try:
            sources[split] = loading.load_source(config, split)
        except MissingSplit as error:
            sources[split] = str(error)
    shard_writer.write(sources, folder, images_per_shard=images_per_shard)
    logging.info("%s is complete.", folder)


if __name__ == "__main__":
    start()
