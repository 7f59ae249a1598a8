"""Equal models run once on the same tensor: rows of an evaluation, and parts of a method, often have equal weights.

Methods call their models by `call`. In training and outside of `SharedPasses.enable` it is the model's own call.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from ornet_tf.compat import keras, tf_variable

_state = threading.local()  # MirroredStrategy traces each replica in its own thread


class SharedPasses:
    """Finds models with equal layers and equal weights.

    A model is compared when it is called for the first time. Its weights must not change afterwards.
    """

    def __init__(self):
        """Starts without models."""
        self._digests: dict[int, tuple[keras.Model, bytes | int]] = {}  # by id of the model, which is kept alive

    @contextlib.contextmanager
    def enable(self) -> Iterator[None]:
        """Lets `call` return the outputs of an equal model that was called inside on the same tensor.

        Enter it once for each trace of a function, around inference only: no gradient passes through outputs that were
        computed outside of a tape. They are kept until the end, which matters in eager mode only.
        """
        before = getattr(_state, "active", None)
        _state.active = self, {}
        try:
            yield
        finally:
            _state.active = before

    def _digest(self, model: keras.Model) -> bytes | int:
        if id(model) not in self._digests:
            with tf.init_scope():  # weights have values outside of graphs only
                self._digests[id(model)] = model, _digest(model)
        return self._digests[id(model)][1]

    def _call(self, results: dict, model: keras.Model, inputs: tf.Tensor) -> Any:
        # Of an outer graph's tensor, a branch of tf.cond has outputs that exist in the branch only.
        graph = tf.compat.v1.get_default_graph()
        key = self._digest(model), id(inputs), id(graph)
        if key not in results:
            results[key] = model(inputs, training=False), inputs, graph  # the ids stay in use
        return results[key][0]


def call(model: keras.Model, inputs: tf.Tensor, *, training: bool = False) -> Any:
    """Returns a model's outputs, in inference those of an equal model if there are any; see `SharedPasses.enable`."""
    active = getattr(_state, "active", None)
    if training or active is None:
        return model(inputs, training=training)
    shared, results = active
    return shared._call(results, model, inputs)


def _digest(model: keras.Model) -> bytes | int:
    """Returns a value that models with equal layers and weights have in common."""
    try:
        architecture = json.dumps(_without_trainable(model.get_config()), sort_keys=True)
    except (NotImplementedError, TypeError):  # a layer without a complete configuration
        return id(model)
    digest = hashlib.blake2b(architecture.encode())
    for weight in model.weights:
        value = tf_variable(weight).numpy()
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.digest()


def _without_trainable(config: Any) -> Any:
    """Returns a model's configuration without the flags of frozen layers, which do not matter in inference."""
    if isinstance(config, dict):
        return {key: _without_trainable(value) for key, value in config.items() if key != "trainable"}
    return [_without_trainable(value) for value in config] if isinstance(config, (list, tuple)) else config
