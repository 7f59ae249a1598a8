"""Exports a trained run as a SavedModel for TensorFlow Serving, and lists and removes exported versions."""
from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from absl import logging
from ml_collections import ConfigDict

from ornet_tf import atomic_write
from ornet_tf.errors import UserError
from ornet_tf.inference import localizer, provenance, warm_up
from ornet_tf.runs import run_folder


def export(config: ConfigDict, workdir: str, *, keep: int | None = None) -> str:
    """Writes the next version below `<workdir>/export` and returns its folder.

    The SavedModel is written to a temporary folder, whose name no server takes for a version, and then renamed.

    Args:
      config: the experiment.
      workdir: the folder of its run.
      keep: how many versions to keep, counting the new one; None for all. Older ones are removed at the end.

    Raises:
      UserError: if `keep` is less than 1.
      OSError: if the export can't be written; existing versions are then unchanged. Also if an old version can't be
        removed; the message then says that the new one is in place.
    """
    if keep is not None and keep < 1:
        raise UserError(f"Expected to keep at least 1 version, got {keep}; leave --keep out to keep all.")
    base = os.path.join(workdir, "export")
    model = localizer.load(config, workdir, for_cpu=provenance.device_to_optimize_for(config) == "cpu")
    with atomic_write.explain_failures(f"{base} could not be written"):
        os.makedirs(base, exist_ok=True)
        partial = tempfile.mkdtemp(prefix="partial-", dir=base)
    try:
        _save(model, provenance.describe_run(config, workdir), partial)
        warm_up.write(partial)
        path = os.path.join(base, str(max([0, *versions(base)]) + 1))
        with atomic_write.explain_failures(f"{path} could not be written"):
            os.chmod(partial, 0o755)  # a server runs as another user; mkdtemp makes private folders
            atomic_write.place_folder(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if keep is not None:
        try:
            _prune(base, keep)
        except OSError as error:
            raise OSError(f"{path} is in place, but an older version could not be removed: {error}.") from error
    return path


def versions(base: str) -> list[int]:
    """Returns the version numbers below an export's base folder, ascending."""
    return [int(name) for name in _version_names(base)]


def _version_names(base: str) -> list[str]:
    names = os.listdir(base) if os.path.isdir(base) else []
    # isdigit alone also accepts characters such as a superscript two, which int() refuses.
    return sorted((name for name in names if name.isascii() and name.isdigit()), key=int)


def _prune(base: str, keep: int) -> None:
    """Removes all versions but the `keep` newest; entries whose names are not numbers stay."""
    for name in _version_names(base)[:-keep]:
        # Renamed and flushed before it is emptied: no server may find half a version under its number.
        removed = tempfile.mkdtemp(prefix="removed-", dir=base)
        os.rename(os.path.join(base, name), os.path.join(removed, name))
        atomic_write.flush_to_disk([removed, base])
        shutil.rmtree(removed)


def _save(model: localizer.Localizer, facts: dict[str, Any], path: str) -> None:
    """Saves the signatures that serving/README.md lists, and the facts as an asset."""
    with tempfile.TemporaryDirectory() as folder:
        run_folder.write_json(os.path.join(folder, provenance.FILE), facts)
        model.provenance = tf.saved_model.Asset(os.path.join(folder, provenance.FILE))
        failure = f"The SavedModel could not be written to {path}"
        with atomic_write.explain_failures(failure), _drop_input_name_warnings():
            tf.saved_model.save(model, path, signatures=_signatures(model))


@contextlib.contextmanager
def _drop_input_name_warnings() -> Iterator[None]:
    """Drops TensorFlow's warnings about input names while a SavedModel is written.

    They list captured variables as if they were inputs of the signature, under internal numbers: 2 KB of log for each
    signature, of no use to anyone.
    """

    def is_useful(record):
        return not str(record.msg).startswith("Function `%s` contains input name(s)")

    logger = logging.get_absl_logger()
    logger.addFilter(is_useful)
    try:
        yield
    finally:
        logger.removeFilter(is_useful)


def _signatures(model: localizer.Localizer) -> dict[str, Any]:
    files = tf.TensorSpec([None], tf.string, name="image_bytes")
    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image_tensor")

    def without_map(outputs):
        return {name: value for name, value in outputs.items() if name != "activation_map"}

    @tf.function(input_signature=[files], autograph=False)
    def serving_default(image_bytes):
        return without_map(model.localize(image_bytes))

    @tf.function(input_signature=[files], autograph=False)
    def activation_map(image_bytes):
        outputs = model.localize(image_bytes)
        grey = tf.saturate_cast(tf.round(outputs["activation_map"] * 255.0), tf.uint8)[..., tf.newaxis]
        encoded = tf.map_fn(tf.io.encode_png, grey, fn_output_signature=tf.TensorSpec([], tf.string))
        return {**without_map(outputs), "activation_map_bytes": encoded}  # the suffix makes REST write base64

    @tf.function(input_signature=[files], autograph=False)
    def activation_map_float(image_bytes):
        return dict(model.localize(image_bytes))

    @tf.function(input_signature=[pixels], autograph=False)
    def image_tensor(image_tensor):
        return without_map(model.localize_pixels(image_tensor))

    @tf.function(input_signature=[files], autograph=False)
    def localize(image_bytes):
        return model.localize_boxes(image_bytes)

    functions = (serving_default, activation_map, activation_map_float, image_tensor, localize)
    return {function.__name__: function for function in functions}
