"""Packs the weights of a run into one file, for another machine or the other stack.

Checkpoints contain the optimizer's state in the format of their Keras version. This file contains only arrays, by names
that both stacks share: "phase/part/layer/kind", such as "stage_two/generator/map_norm/gamma".
"""
from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ornet_tf import atomic_write, build, paths, renamed
from ornet_tf.errors import UserError
from ornet_tf.models.variables import named_variables
from ornet_tf.runs import checkpoints, run_folder, training_data

_ABOUT = "about"  # entry: JSON with the classes, and with settings.json and finished.json of each phase
_IMAGES = "training_images"  # entry: `training_data.TrainingImages.images`


def pack(config: ConfigDict, workdir: str, path: str) -> list[str]:
    """Writes the weights of all finished phases to `path` and returns the names of the phases.

    Raises:
      UserError: if `path` is invalid, no phase is finished, or the configuration is not that of the run.
      OSError: if the file can't be written; an old file stays.
    """
    path = str(paths.local(path, "FILE"))
    names = [name for name in config.phase_order if run_folder.is_finished(os.path.join(workdir, name))]
    if not names:
        raise UserError(f"No phase is finished in {workdir}: expected the --workdir of an ornet_tf.train run.")
    if not os.path.isdir(os.path.dirname(path)):
        raise FileNotFoundError(f"{path} can't be written: its folder is missing. Create it or choose another file.")
    data = training_data.read(workdir)
    arrays: dict[str, np.ndarray] = {}
    about: dict[str, Any] = {"data": data, "phases": {}}
    for name in names:
        method = build.trained_method(config, name, workdir, len(data["class_names"]))
        variables = named_variables(method.parts, trainable_only=False)
        arrays.update({f"{name}/{key}": np.asarray(variable) for key, variable in variables.items()})
        folder = os.path.join(workdir, name)
        about["phases"][name] = {
            kind: run_folder.read_json(os.path.join(folder, f"{kind}.json")) for kind in ("settings", "finished")
        }
    if images := training_data.read_images(workdir):
        arrays[_IMAGES] = images.images
    arrays[_ABOUT] = np.array(json.dumps(about))
    with atomic_write.open_file(path, "; the old file is unchanged") as file:
        np.savez(file, **arrays)
    return names


def unpack(config: ConfigDict, workdir: str, path: str) -> list[str]:
    """Creates a run in `workdir` with finished phases from the weights in `path`; returns the names of the phases.

    Training, evaluation, prediction and export can then use the run with the same configuration. The run is written to
    a temporary folder, which is then renamed.

    Raises:
      UserError: if `workdir` is not empty, `path` is invalid, or the file is not from `pack` or does not fit the
        configuration.
      FileNotFoundError: if the file is missing.
      OSError: if the run can't be written; no part of it is left.
    """
    workdir, path = os.path.abspath(workdir), str(paths.local(path, "FILE"))
    if os.path.isdir(workdir) and os.listdir(workdir):
        raise UserError(f"{workdir}: expected an empty folder, got one with files. Choose another --workdir.")
    arrays, data, phases = _read(path)
    images = arrays.pop(_IMAGES, None)
    missing = [name for name in phases if name not in config.phase_order]
    if missing:
        raise UserError(
            f"{path} has the phase {missing[0]!r}, but config.phase_order has only {', '.join(config.phase_order)}. "
            "Use the configuration of the run."
        )
    failure = f"{workdir} could not be written"
    with atomic_write.explain_failures(failure):
        os.makedirs(os.path.dirname(workdir), exist_ok=True)
        aside = tempfile.mkdtemp(prefix=f"partial-{os.path.basename(workdir)}-", dir=os.path.dirname(workdir))
    try:
        num_classes = len(data["class_names"])
        without_start_weights = build.drop_start_weights(config)
        for name, phase in phases.items():
            method = build.build_method(without_start_weights, config.phase[name], num_classes)
            _assign(named_variables(method.parts, trainable_only=False), name, arrays, path)
            folder = os.path.join(aside, name)
            run_folder.write_json(os.path.join(folder, "settings.json"), phase["settings"])
            checkpoints.PhaseCheckpoints(folder, method.parts, [], keep=1).save(phase["finished"]["steps"])
            run_folder.write_json(os.path.join(folder, "finished.json"), phase["finished"])
        if images is not None:  # files of earlier versions have none
            training_data.write_images(aside, training_data.TrainingImages(images))
        run_folder.write_json(os.path.join(aside, "data.json"), data)
        with atomic_write.explain_failures(failure):
            os.chmod(aside, 0o755)  # mkdtemp creates private folders
            atomic_write.place_folder(aside, workdir)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return list(phases)


def _read(path: str) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, dict[str, Any]]]:
    """Returns the arrays and the contents of data.json and of each phase's settings.json and finished.json."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is missing: expected a file written by `pack`.")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(str(arrays.pop(_ABOUT)))
        # All required entries are read here, so that other files are refused.
        stored_data = renamed.update_data(about["data"])
        data = {"training_images": int(stored_data["training_images"])}
        data["class_names"] = [str(name) for name in stored_data["class_names"]]
        phases = {}
        for name, phase in about["phases"].items():
            finished = {**phase["finished"], "id": phase["finished"]["id"], "steps": int(phase["finished"]["steps"])}
            phases[name] = {"settings": dict(phase["settings"]), "finished": finished}
        return arrays, data, phases
    except atomic_write.UNREADABLE as error:
        raise UserError(f"{path} can't be read: expected a complete file written by `pack` ({error}).") from error


def _assign(variables: Mapping[str, Any], phase: str, arrays: Mapping[str, np.ndarray], path: str) -> None:
    """Assigns the arrays of a phase to its variables, if all of them fit.

    Raises:
      UserError: if names or shapes differ.
    """
    given = {key[len(phase) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{phase}/")}
    expected = {key: tuple(variable.shape) for key, variable in variables.items()}
    shapes = {key: array.shape for key, array in given.items()}
    differing = sorted(key for key in {*expected, *shapes} if expected.get(key) != shapes.get(key))
    if differing:
        key = differing[0]
        raise UserError(
            f"{path} does not fit --config: expected the shape {expected.get(key, 'none')} for {phase}/{key}, got "
            f"{shapes.get(key, 'none')} ({len(differing)} weights differ). Use the configuration of the run."
        )
    for key, variable in variables.items():
        variable.assign(given[key])
