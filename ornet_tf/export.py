"""Exports a trained experiment as a SavedModel for TensorFlow Serving: image bytes in, boxes out.

  python -m ornet_tf.export --config=configs/toybirds.py --workdir=runs/toybirds --keep=3
"""
from __future__ import annotations

import os

from absl import flags, logging
from ml_collections import ConfigDict

from ornet_tf import app


def main(config: ConfigDict, workdir: str, *, keep: int | None) -> None:
    """Exports and logs the folder of the export."""
    from ornet_tf.inference import saved_model  # late, as importing TensorFlow takes seconds

    path = saved_model.export(config, workdir, keep=keep)
    base = os.path.dirname(path)
    logging.info("Exported to %s. Serve it: python -m serving.local_server --model_base_path=%s", path, base)


if __name__ == "__main__":
    keep_help = "The number of versions to keep, the new one included. Default: all."
    keep = flags.DEFINE_integer("keep", None, keep_help, lower_bound=1)
    app.run(main, options={"workdir": app.WORKDIR, "keep": keep})
