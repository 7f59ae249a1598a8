"""One file with what a run has learned, which moves it to another machine, also from one stack to the other.

Checkpoints hold the optimiser's state in the form of the Keras that wrote them. This file holds arrays alone, by names
that both have in common: "phase/part/layer/kind", such as "stage_two/generator/map_norm/gamma".
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

_ABOUT = "about"  # the entry that holds, as JSON, the classes and each phase's settings and end
_IMAGES = "training_images"  # the entry that holds what `training_data.TrainedOn` has of the images


def pack(config: ConfigDict, workdir: str, path: str) -> list[str]:
    """Writes the weights of every finished phase to `path` and returns the phases' names.

    Raises:
      UserError: if `path` is no path, no phase is finished, or the configuration is not that of the run.
      OSError: if the file can't be written; one of that name stays as it was.
    """
    path = str(paths.local(path, "FILE"))
    names = [name for name in config.phases if run_folder.is_finished(os.path.join(workdir, name))]
    if not names:
        raise UserError(f"No phase is finished in {workdir}: expected the --workdir of an ornet_tf.train run.")
    if not os.path.isdir(os.path.dirname(path)):
        raise FileNotFoundError(f"{path} can't be written: its folder is missing. Make it, or name another file.")
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
    if images := training_data.trained_on(workdir):
        arrays[_IMAGES] = images.images
    arrays[_ABOUT] = np.array(json.dumps(about))
    with atomic_write.open_file(path, "; what was there is as it was") as file:
        np.savez(file, **arrays)
    return names


def unpack(config: ConfigDict, workdir: str, path: str) -> list[str]:
    """Makes `workdir` a run whose phases ended with the weights in `path`, and returns the phases' names.

    Training, evaluation, prediction and export then go on from there with the same configuration. The run is written
    aside and renamed into place.

    Raises:
      UserError: if `workdir` is not empty, `path` is no path, the file is none of `pack`, or it does not fit the
        configuration.
      FileNotFoundError: if there is no such file.
      OSError: if the run can't be written; nothing of it is left.
    """
    workdir, path = os.path.abspath(workdir), str(paths.local(path, "FILE"))
    if os.path.isdir(workdir) and os.listdir(workdir):
        raise UserError(f"{workdir} holds files already: choose another --workdir.")
    arrays, data, phases = _read(path)
    images = arrays.pop(_IMAGES, None)
    missing = [name for name in phases if name not in config.phases]
    if missing:
        raise UserError(f"{path} holds the phase {missing[0]!r}, --config has {', '.join(config.phases)}.")
    failure = f"{workdir} could not be written"
    with atomic_write.explain_failures(failure):
        os.makedirs(os.path.dirname(workdir), exist_ok=True)
        aside = tempfile.mkdtemp(prefix=f"partial-{os.path.basename(workdir)}-", dir=os.path.dirname(workdir))
    try:
        num_classes = len(data["class_names"])
        without_weights = build.without_start_weights(config)
        for name, phase in phases.items():
            method = build.build_method(without_weights, config.phase[name], num_classes)
            _assign(named_variables(method.parts, trainable_only=False), name, arrays, path)
            folder = os.path.join(aside, name)
            run_folder.write_json(os.path.join(folder, "settings.json"), phase["settings"])
            checkpoints.PhaseCheckpoints(folder, method.parts, [], keep=1).save(phase["finished"]["steps"])
            run_folder.write_json(os.path.join(folder, "finished.json"), phase["finished"])
        if images is not None:  # a file of before has none
            training_data.write(aside, training_data.TrainedOn(images))
        run_folder.write_json(os.path.join(aside, "data.json"), data)
        with atomic_write.explain_failures(failure):
            os.chmod(aside, 0o755)  # mkdtemp makes private folders
            atomic_write.place_folder(aside, workdir)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return list(phases)


def _read(path: str) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, dict[str, Any]]]:
    """Returns what `pack` wrote: the arrays, what data.json held, and each phase's settings and end."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is missing: expected a file that `pack` wrote.")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = renamed.current(json.loads(str(arrays.pop(_ABOUT))))
        # Every entry that is needed is touched here, so that a file of another origin is found out.
        data = {"training_images": int(about["data"]["training_images"])}
        data["class_names"] = [str(name) for name in about["data"]["class_names"]]
        phases = {}
        for name, phase in about["phases"].items():
            finished = {**phase["finished"], "id": phase["finished"]["id"], "steps": int(phase["finished"]["steps"])}
            phases[name] = {"settings": dict(phase["settings"]), "finished": finished}
        return arrays, data, phases
    except atomic_write.UNREADABLE as error:
        raise UserError(f"{path} can't be read: expected a whole file that `pack` wrote ({error}).") from error


def _assign(variables: Mapping[str, Any], phase: str, arrays: Mapping[str, np.ndarray], path: str) -> None:
    """Gives the variables of a phase their arrays, all of them or none."""
    given = {key[len(phase) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{phase}/")}
    expected = {key: tuple(variable.shape) for key, variable in variables.items()}
    found = {key: array.shape for key, array in given.items()}
    differing = sorted(key for key in {*expected, *found} if expected.get(key) != found.get(key))
    if differing:
        key = differing[0]
        raise UserError(
            f"{path} does not fit --config: {phase}/{key} has shape {found.get(key, 'none')} there and "
            f"{expected.get(key, 'none')} here ({len(differing)} differ). Use the configuration of the run."
        )
    for key, variable in variables.items():
        variable.assign(given[key])
