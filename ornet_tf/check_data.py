"""Checks every image, box and mask of a data set before training and reports what is wrong.

  python -m ornet_tf.check_data --config=configs/cub.py [--split=test] [--duplicates] [--headers_only] [--json]

The report goes to standard output. The exit status is 1 if something has to be fixed: a split that can't be loaded, a
file that can't be read, a box without area or more than a pixel outside its image, a mask without an object or of
another size than its image, an image in two splits.
"""
from __future__ import annotations

import json as json_text
import sys

from absl import flags
from ml_collections import ConfigDict

from ornet_tf import app
from ornet_tf.data.source import SPLITS


def start() -> None:
    """Runs this program; `python -m ornet_tf.datasets check` calls it too."""
    app.run(
        main,
        options={
            "split": flags.DEFINE_enum("split", None, SPLITS, "The split to check. Default: all."),
            "duplicates": flags.DEFINE_bool(
                "duplicates", False, "Also find images that are in several splits, by the content of their files."
            ),
            "headers_only": flags.DEFINE_bool(
                "headers_only", False, "Read only the headers of images: faster, but truncated images are not found."
            ),
            "json": flags.DEFINE_bool("json", False, "Write the report as JSON."),
        },
    )


def main(config: ConfigDict, *, split: str | None, duplicates: bool, headers_only: bool, json: bool) -> None:
    """Writes the report and exits with status 1 if there are problems."""
    from ornet_tf.data import check_report  # late, as importing TensorFlow takes seconds

    splits = [split] if split else SPLITS
    report = check_report.check_splits(config, splits, duplicates=duplicates, headers_only=headers_only)
    sys.stdout.write(json_text.dumps(report, indent=2) + "\n" if json else check_report.as_text(report))
    if report["problems"] or (split and "missing" in report["splits"][split]):
        sys.exit(1)


if __name__ == "__main__":
    start()
