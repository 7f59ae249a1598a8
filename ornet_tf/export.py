"""Writes a trained experiment as a SavedModel for TensorFlow Serving: image bytes in, boxes out.

  python -m ornet_tf.export --config=configs/toybirds.py --workdir=runs/toybirds
"""
from __future__ import annotations

import os
import shutil
import tempfile

import tensorflow as tf
from absl import logging
from ml_collections import ConfigDict

from ornet_tf import app, localizer


def main(config: ConfigDict, workdir: str) -> None:
    """Exports and logs where."""
    path = export(config, workdir)
    base = os.path.dirname(path)
    logging.info("Exported to %s. Serve it: python -m serving.local_server --model_base_path=%s", path, base)


def export(config: ConfigDict, workdir: str) -> str:
    """Writes the next version below `<workdir>/export` and returns its folder.

    The SavedModel is written aside, under a name that no server takes for a version, and renamed into place.

    Raises:
      OSError: if it can't be written; versions that are there stay as they are.
    """
    base = os.path.join(workdir, "export")
    model = localizer.load(config, workdir)
    os.makedirs(base, exist_ok=True)
    aside = tempfile.mkdtemp(prefix="partial-", dir=base)
    try:
        _save(model, aside)
        path = os.path.join(base, str(max([0, *versions(base)]) + 1))
        os.chmod(aside, 0o755)  # a server runs as another user; mkdtemp makes private folders
        os.rename(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return path


def versions(base: str) -> list[int]:
    """Returns the version numbers below an export's base folder, in order."""
    return sorted(int(name) for name in os.listdir(base) if name.isdigit()) if os.path.isdir(base) else []


def _save(model: localizer.Localizer, path: str) -> None:
    """Saves the signatures: `serving_default` (boxes and classes) and `activation_map` (the map as well)."""
    spec = tf.TensorSpec([None], tf.string, name="image_bytes")

    @tf.function(input_signature=[spec])
    def boxes_only(image_bytes):
        outputs = dict(model.localize(image_bytes))
        del outputs["activation_map"]
        return outputs

    @tf.function(input_signature=[spec])
    def with_map(image_bytes):
        return model.localize(image_bytes)

    try:
        tf.saved_model.save(model, path, signatures={"serving_default": boxes_only, "activation_map": with_map})
    except tf.errors.OpError as error:
        raise OSError(f"The SavedModel could not be written to {path}: {error.message}") from error


if __name__ == "__main__":
    app.run(main)
