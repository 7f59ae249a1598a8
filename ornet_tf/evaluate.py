"""Evaluates the rows of an experiment: result.json, tables, results per image, cases and images.

  python -m ornet_tf.evaluate --config=configs/toybirds.py --workdir=runs/toybirds
"""
from __future__ import annotations

import os

from absl import logging
from ml_collections import ConfigDict

from ornet_tf import app


def main(config: ConfigDict, workdir: str) -> None:
    """Evaluates and logs the table and the folder of the results."""
    from ornet_tf.evaluation import measurement, report  # late, as importing TensorFlow takes seconds

    result = measurement.evaluate(config, workdir)
    logging.info("%s\nAll results are in %s", report.table(result), os.path.join(workdir, "evaluation"))


if __name__ == "__main__":
    app.run(main, options={"workdir": app.WORKDIR})
