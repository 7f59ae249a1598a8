"""Writes predictions in the formats of annotation tools, without a model: coco, label_studio, yolo, voc, csv, jsonl.

  python -m ornet_tf.formats --predictions=runs/toybirds/predictions --format=coco,label_studio

It reads predictions.json, or the predictions.jsonl of a run that was killed. docs/annotations.md describes the formats.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Started by its path, Python finds modules in this folder first, and its csv.py would hide the standard library's.
sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != os.path.dirname(os.path.abspath(__file__))]

from absl import app, flags, logging  # noqa: E402

from ornet_tf import formats  # noqa: E402
from ornet_tf.errors import UserError  # noqa: E402
from ornet_tf.formats import label_studio  # noqa: E402
from ornet_tf.inference import annotations  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Writes the formats that the flags name."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected argument {argv[1]!r}; options look like --predictions=FOLDER.")
    logging.set_stderrthreshold("info")
    values = flags.FLAGS
    try:
        annotations.write(
            values.predictions,
            values.format,
            output=values.output,
            min_score=values.min_score,
            decisions=values.decisions,
            labels=values.labels,
            image_prefix=values.image_prefix,
        )
    except (OSError, UserError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted: each format is either complete or as it was before.")


def start() -> None:
    """Runs the program."""
    flags.DEFINE_string("predictions", None, "The folder of predictions, with predictions.json.", required=True)
    flags.DEFINE_list("format", None, "The formats to write, with commas between them.", required=True)
    flags.DEFINE_string("output", "", "The folder for the folders of the formats. Default: that of the predictions.")
    flags.DEFINE_float("min_score", 0.0, "Leave out boxes with a lower box score.", lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_string("decisions", "", "A file with the decisions of a review; rejected images are left out.")
    flags.DEFINE_string("labels", "", "A folder of class folders, or a CSV file,class: they give the classes.")
    flags.DEFINE_string(
        "image_prefix", label_studio.LOCAL_FILES, "For label_studio: what comes before an image's name in its address."
    )
    flags.register_validator("format", lambda names: names is None or formats.are_known(names))
    app.run(main)


if __name__ == "__main__":
    start()
