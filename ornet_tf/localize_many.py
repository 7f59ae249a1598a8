"""Localizes the objects in millions of images with an export, on a Ray cluster: boxes as Parquet files.

  python -m ornet_tf.localize_many --export=runs/toybirds/export --input=photos --output=boxes

It needs Ray: pip install '.[many]'. docs/bulk_localization.md describes inputs, columns and clusters. The same command
continues a run that was stopped.
"""
from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import app, flags, logging

from ornet_tf.bulk import localization
from ornet_tf.errors import UserError
from ornet_tf.runs import interruption
from serving import loaded


def main(argv: Sequence[str]) -> None:
    """Localizes what the flags name; a user's mistake ends the program with one sentence and status 1."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected argument {argv[1]!r}; options look like --input=FOLDER.")
    logging.set_stderrthreshold("info")
    values = flags.FLAGS
    options = {name: values[name].value for name in localization.Options._fields}
    try:
        export = loaded.find(values.export)
        localization.run(export, values.input, values.output, localization.Options(**options))
    except (OSError, UserError) as error:
        logging.debug("The error in full:", exc_info=True)
        sys.exit(f"Error: {error}")
    except interruption.Interrupted as ended:
        sys.stderr.write(f"\n{ended}\n")
        sys.exit(interruption.EXIT_CODE)


def start() -> None:
    """Runs the program."""
    defaults = localization.Options()
    flags.DEFINE_string("export", None, "The folder of an export: a version, or the folder above.", required=True)
    flags.DEFINE_string("input", None, "A folder, a pattern, a list in a .txt file, or shards.", required=True)
    flags.DEFINE_string("output", None, "A folder that all machines share, or a URI.", required=True)
    flags.DEFINE_string("image_field", defaults.image_field, "The field of shards that holds the image's bytes.")
    flags.DEFINE_string("key_field", defaults.key_field, "The field of Parquet or TFRecord that names the image.")
    flags.DEFINE_integer("part_size", defaults.part_size, "Images of an output file.", lower_bound=1)
    flags.DEFINE_integer("batch_size", defaults.batch_size, "Most images in a call of the export.", lower_bound=1)
    flags.DEFINE_integer(
        "workers", defaults.workers, "Processes; 0 for one per GPU, or without GPUs one per machine.", lower_bound=0
    )
    flags.DEFINE_float(
        "gpus_per_worker", defaults.gpus_per_worker, "GPUs of a worker, such as 0.5. Default: 1 where there are any.",
        lower_bound=0.0,
    )  # fmt: skip
    flags.DEFINE_string("address", defaults.address, "HOST:PORT of a Ray cluster. Default: RAY_ADDRESS, or a new one.")
    app.run(main)


if __name__ == "__main__":
    start()
