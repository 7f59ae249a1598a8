"""The versions of one model: finds numbered folders, loads the newest, then unloads the older ones."""
from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from absl import logging

from ornet_tf.errors import UserError
from serving.errors import Code, not_found

_MAX_VERSION = 2**63 - 1


class VersionState(NamedTuple):
    """The state of a version, LOADING, AVAILABLE or END, and the reason if it does not load."""

    state: str
    code: Code = Code.OK
    message: str = ""


def find_versions(base_path: str | os.PathLike) -> dict[int, pathlib.Path]:
    """Returns the version folders in `base_path`: those whose whole name is a number that fits int64.

    Raises:
      OSError: if `base_path` cannot be listed.
    """
    versions: dict[int, pathlib.Path] = {}
    for path in sorted(pathlib.Path(base_path).iterdir()):
        name = path.name
        if name.isascii() and name.isdigit() and int(name) <= _MAX_VERSION and path.is_dir():
            versions[int(name)] = path
    return versions


class ModelStore:
    """The versions of one model. A new version is loaded before the served one is unloaded."""

    def __init__(self, name: str, base_path: str | os.PathLike, load: Callable[[pathlib.Path], Any]):
        """Makes an empty store; `start` fills it.

        Args:
          name: the model's name in URLs.
          base_path: the folder that holds the version folders.
          load: returns the model in a version folder, or raises.

        Raises:
          UserError: if the name cannot be part of a URL.
        """
        if not name or any(mark in name for mark in "/:"):
            raise UserError(f"Expected a model name without '/' and ':', but got {name!r}; choose another name.")
        self.name = name
        self.base_path = pathlib.Path(base_path)
        self._load = load
        self._lock = threading.Lock()
        self._models: dict[int, Any] = {}
        self._states: dict[int, VersionState] = {}
        self._failed: dict[int, frozenset] = {}
        self._warning = ""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, *, poll_wait_seconds: float) -> None:
        """Loads the newest version, then looks for newer ones in a background thread until `stop`.

        Args:
          poll_wait_seconds: seconds between two looks; 0 or less for no further look.

        Raises:
          FileNotFoundError: if `base_path` is no folder or holds no version.
          UserError: if the newest version does not load.
        """
        if not self.base_path.is_dir():
            raise FileNotFoundError(f"Expected a folder of model versions, but {self.base_path} is not a folder.")
        if not find_versions(self.base_path):
            raise FileNotFoundError(
                f"Expected a numbered version folder such as {self.base_path / '1'}, but found none; export a model "
                "there, or name the folder above its version."
            )
        self.poll()
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
            except OSError as error:
                self._warn_once(f"Cannot look for versions: {error}")

    def poll(self) -> None:
        """Loads the newest version in `base_path`, then unloads the others. It changes nothing if there is no version.

        A version that failed is loaded again when its files change, so a folder may be copied slowly.

        Raises:
          OSError: if `base_path` cannot be listed.
        """
        versions = find_versions(self.base_path)
        if not versions:
            self._warn_once(f"No version is left in {self.base_path}; the loaded version stays.")
            return
        self._warning = ""
        newest = max(versions)
        if newest not in self._models:
            self._load_version(newest, versions[newest])
        if newest in self._models:
            self._unload_all_but(newest)

    def _load_version(self, version: int, path: pathlib.Path) -> None:
        files = _fingerprint(path)
        if self._failed.get(version) == files:
            return
        self._set_state(version, VersionState("LOADING"))
        try:
            model = self._load(path)
        except Exception as error:  # noqa: BLE001 - a damaged SavedModel fails in many ways; none may end the server
            code = Code(getattr(error, "error_code", Code.UNKNOWN))
            logging.error("Version %d of %s does not load: %s", version, self.name, error)
            self._failed[version] = files
            self._set_state(version, VersionState("END", code, str(error)))
            return
        self._failed.pop(version, None)
        with self._lock:
            self._models[version] = model
            self._states[version] = VersionState("AVAILABLE")
        logging.info("Version %d of %s is available, from %s.", version, self.name, path)

    def _unload_all_but(self, version: int) -> None:
        with self._lock:
            for old in set(self._models) - {version}:
                self._states[old] = VersionState("END")
                del self._models[old]

    def _set_state(self, version: int, state: VersionState) -> None:
        with self._lock:
            self._states[version] = state

    def _warn_once(self, message: str) -> None:
        if message != self._warning:
            logging.warning("%s", message)
        self._warning = message

    def model(self, name: str, version: int | None = None) -> tuple[int, Any]:
        """Returns the version number and the model that answer a request.

        Raises:
          RequestError: NOT_FOUND if the name or the version is not served.
        """
        with self._lock:
            models = dict(self._models) if name == self.name else {}
        if version is None and models:
            return max(models.items())
        if version in models:
            return version, models[version]
        wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise not_found(f"Servable not found for request: {wanted}")

    def states(self, name: str, version: int | None = None) -> dict[int, VersionState]:
        """Returns the state of every version that was ever found, newest first, or of one version.

        Raises:
          RequestError: NOT_FOUND if the name or the version is unknown.
        """
        with self._lock:
            states = dict(self._states) if name == self.name else {}
        if version is not None and version not in states:
            raise not_found(f"Could not find version {version} of model {name}")
        if not states:
            raise not_found(f"Could not find any versions of model {name}")
        return {v: states[v] for v in sorted(states, reverse=True) if version in (None, v)}


def _fingerprint(folder: pathlib.Path) -> frozenset:
    """Returns what changes when a folder changes: names, sizes and times of its files."""
    files = set()
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:  # replaced meanwhile
            continue
        files.add((str(path), status.st_size, status.st_mtime_ns))
    return frozenset(files)
