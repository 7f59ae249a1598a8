"""Which versions of a model are served: looks for numbered folders, loads the chosen, then lets go of those before."""
from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from absl import logging

from ornet_tf.errors import UserError
from serving import model_config
from serving.errors import Code, echo, invalid, not_found

_LARGEST_VERSION = 2**63 - 1


class VersionState(NamedTuple):
    """Where a version stands: START, LOADING, AVAILABLE, UNLOADING or END, and why it failed if it did."""

    state: str
    code: Code = Code.OK
    message: str = ""


def find_versions(base_path: str | os.PathLike) -> dict[int, pathlib.Path]:
    """Returns the version folders below `base_path`: those whose whole name is a number that fits int64.

    Raises:
      OSError: if `base_path` cannot be listed.
    """
    versions: dict[int, pathlib.Path] = {}
    for path in sorted(pathlib.Path(base_path).iterdir()):
        name = path.name
        if name.isascii() and name.isdigit() and int(name) <= _LARGEST_VERSION and path.is_dir():
            versions[int(name)] = path
    return versions


class ModelStore:
    """The versions of one model. A new version is loaded before the served one is let go (availability first)."""

    def __init__(
        self,
        name: str,
        base_path: str | os.PathLike,
        load: Callable[[pathlib.Path], Any],
        config_file: str | os.PathLike = "",
    ):
        """Makes an empty store; `start` fills it.

        Args:
          name: the model's name in URLs.
          base_path: the folder that holds the version folders.
          load: returns the model in a version folder, or raises.
          config_file: TensorFlow Serving's models.config, read again at every look; "" to serve the newest version.

        Raises:
          UserError: if the name cannot stand in a URL.
        """
        if not name or any(mark in name for mark in "/:"):
            raise UserError(f"Expected a model name without '/' and ':', but got {name!r}; choose another name.")
        self.name = name
        self.base_path = pathlib.Path(base_path)
        self._load = load
        self._config_file = config_file
        self._labels: dict[str, int] = {}
        self._lock = threading.Lock()
        self._models: dict[int, Any] = {}
        self._states: dict[int, VersionState] = {}
        self._failed: dict[int, frozenset] = {}
        self._complaint = ""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, *, poll_wait_seconds: float) -> None:
        """Loads the newest version, then looks for newer ones in a background thread until `stop`.

        Args:
          poll_wait_seconds: seconds between two looks; 0 or less for no further look.

        Raises:
          FileNotFoundError: if there is no folder `base_path` or it holds no version.
          UserError: if no chosen version can be loaded, or the configuration cannot be read.
        """
        if not self.base_path.is_dir():
            raise FileNotFoundError(f"Expected a folder of model versions, but {self.base_path} is none.")
        if not find_versions(self.base_path):
            raise FileNotFoundError(
                f"Expected a numbered version folder such as {self.base_path / '1'}, but found none; export a model "
                "there, or name the folder above its version."
            )
        self.poll()
        if not self._models and not self._states:
            raise FileNotFoundError(f"Expected a version of {self._config_file} in {self.base_path}, but found none.")
        if not self._models:
            version, state = max(self._states.items())
            raise UserError(f"Version {version} in {self.base_path} does not load: {state.message}")
        if poll_wait_seconds > 0:
            self._thread = threading.Thread(target=self._watch, args=(poll_wait_seconds,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the background thread. Loaded models stay usable."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, seconds: float) -> None:
        while not self._stopping.wait(seconds):
            try:
                self.poll()
            except (OSError, UserError) as error:
                self._complain(f"Cannot look for versions: {error}")

    def poll(self) -> None:
        """Looks once: serves the chosen versions. Nothing changes while there is none or none of them loads.

        A version that failed is tried again when its files change, so a folder that is copied in slowly comes up.

        Raises:
          OSError: if `base_path` cannot be listed or the configuration cannot be read.
          UserError: if the configuration is none.
        """
        choice = model_config.read(self._config_file, self.name) if self._config_file else model_config.Choice()
        versions = find_versions(self.base_path)
        chosen = choice.pick(set(versions))
        if not chosen:
            self._complain(f"No version folder to serve is left in {self.base_path}; what is loaded stays served.")
            return
        for version in sorted(chosen - set(self._models)):
            self._try(version, versions[version])
        # Labels move between both, so that they never point at a version that is gone.
        self._point(choice.labels)
        self._let_go(chosen)

    def _try(self, version: int, path: pathlib.Path) -> None:
        files = _files(path)
        if self._failed.get(version) == files:
            return
        self._set(version, VersionState("LOADING"))
        try:
            model = self._load(path)
        except Exception as error:  # noqa: BLE001 - a damaged SavedModel fails in many ways; none may end the server.
            code = Code(getattr(error, "error_code", Code.UNKNOWN))
            logging.error("Version %d of %s does not load: %s", version, self.name, error)
            self._failed[version] = files
            self._set(version, VersionState("END", code, str(error)))
            return
        self._failed.pop(version, None)
        with self._lock:
            self._models[version] = model
            self._states[version] = VersionState("AVAILABLE")
        logging.info("Version %d of %s is available, from %s.", version, self.name, path)

    def _let_go(self, chosen: set[int]) -> None:
        with self._lock:
            if chosen & set(self._models):
                for old in set(self._models) - chosen:
                    self._states[old] = VersionState("END")
                    del self._models[old]

    def _point(self, labels: Mapping[str, int]) -> None:
        """Takes the labels over, all or none: none may point at a version that is not available."""
        missing = {label: version for label, version in labels.items() if version not in self._models}
        if missing:
            self._complain(f"Labels stay as they are, because their versions are not available: {missing}.")
            return
        self._complaint = ""
        with self._lock:
            self._labels = dict(labels)

    def _set(self, version: int, state: VersionState) -> None:
        with self._lock:
            self._states[version] = state

    def _complain(self, message: str) -> None:
        # Once, not at every look.
        if message != self._complaint:
            logging.warning("%s", message)
        self._complaint = message

    def model(self, name: str, version: int | None = None) -> tuple[int, Any]:
        """Returns the version number and the model that answer a request.

        Raises:
          RequestError: NOT_FOUND if the name or the version is not served.
        """
        with self._lock:
            return self._find(name, version)

    def labelled(self, name: str, label: str) -> tuple[int, Any]:
        """Returns the version number and the model that a label points at.

        Raises:
          RequestError: INVALID_ARGUMENT if no label is called so, NOT_FOUND if the name is not served.
        """
        with self._lock:
            version = self._labels.get(label) if name == self.name else None
            if version is None:
                raise invalid(f"Unrecognized servable version label: {echo(label)}")
            return self._find(name, version)

    def _find(self, name: str, version: int | None) -> tuple[int, Any]:
        models = self._models if name == self.name else {}
        if version is None and models:
            return max(models.items())
        if version in models:
            return version, models[version]
        wanted = f"Latest({echo(name)})" if version is None else f"Specific({echo(name)}, {version})"
        raise not_found(f"Servable not found for request: {wanted}")

    def states(self, name: str, version: int | None = None) -> dict[int, VersionState]:
        """Returns the state of every version ever seen, newest first, or of one version.

        Raises:
          RequestError: NOT_FOUND if the name or the version is unknown.
        """
        with self._lock:
            states = dict(self._states) if name == self.name else {}
        if version is not None and version not in states:
            raise not_found(f"Could not find version {version} of model {echo(name)}")
        if not states:
            raise not_found(f"Could not find any versions of model {echo(name)}")
        return {v: states[v] for v in sorted(states, reverse=True) if version in (None, v)}


def _files(folder: pathlib.Path) -> frozenset:
    """Returns what tells whether a folder has changed: names, sizes and times of its files."""
    files = set()
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:  # Replaced while it was being read.
            continue
        files.add((str(path), status.st_size, status.st_mtime_ns))
    return frozenset(files)
