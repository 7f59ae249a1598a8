"""Reads which versions of a model are served, and their labels, from TensorFlow Serving's models.config.

Its base_path and model_platform are not looked at: the local server is told its folder.
"""
from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from ornet_tf.errors import UserError
from serving import text_proto

_KNOWN = {"name", "base_path", "model_platform", "model_version_policy", "version_labels"}


class Choice(NamedTuple):
    """Which of the versions on disk are served: those in `versions`, else the `latest` highest (None: all)."""

    versions: frozenset[int] = frozenset()
    latest: int | None = 1
    labels: Mapping[str, int] = {}

    def pick(self, found: set[int]) -> set[int]:
        """Returns the versions to serve among those that were found."""
        if self.versions:
            return found & self.versions
        return set(sorted(found, reverse=True)[: self.latest])


def read(path: str | os.PathLike, name: str) -> Choice:
    """Returns the choice that a models.config makes for a model.

    Raises:
      OSError: if the file can't be read.
      ValueError: if it isn't a models.config, or doesn't hold the model exactly once.
    """
    try:
        tree = text_proto.parse(pathlib.Path(path).read_text(encoding="utf-8"))
        configs = [config for models in tree.messages("model_config_list") for config in models.messages("config")]
        mine = [config for config in configs if config.string("name") == name]
        if len(mine) != 1:
            raise ValueError(f"expected one model_config_list.config with name {name!r}, found {len(mine)}")
        unknown = set(mine[0]) - _KNOWN
        if unknown:
            raise ValueError(f"expected {', '.join(sorted(_KNOWN))} in a config, found {', '.join(sorted(unknown))}")
        return _choice(mine[0])
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {error.strerror}; is it the models.config?") from error
    except ValueError as error:
        raise UserError(f"Cannot read {path} as a models.config: {error}.") from error


def _choice(config: text_proto.Message) -> Choice:
    labels = {label.string("key"): label.integer("value") for label in config.messages("version_labels")}
    policies = config.messages("model_version_policy") or [text_proto.Message(latest=[text_proto.Message()])]
    kinds = [kind for policy in policies for kind in policy]
    if len(kinds) != 1 or kinds[0] not in ("latest", "all", "specific"):
        raise ValueError(f"expected one of latest, all and specific in model_version_policy, found {kinds}")
    (options,) = policies[0].messages(kinds[0])
    if kinds[0] == "all":
        return Choice(latest=None, labels=labels)
    if kinds[0] == "latest":
        count = options.integer("num_versions") if "num_versions" in options else 1
        return Choice(latest=max(1, count), labels=labels)  # TensorFlow Serving takes 0 for 1
    versions = frozenset(text_proto.to_integer("versions", value) for value in options.get("versions", ()))
    if not versions:
        raise ValueError("expected versions in specific, found none")
    return Choice(versions, None, labels)
