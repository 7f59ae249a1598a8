"""Inputs for testing losses, by the names of their tensors, and numerical derivatives."""
import inspect

import numpy as np
import tensorflow as tf

from ornet_tf import registry

TINY = 2.0**-24


def ordinary(name):
    """Returns four ordinary examples of the losses' argument `name`."""
    random = np.random.default_rng(1)
    if name == "activation_map":
        return random.uniform(0.02, 0.98, [4, 5, 7, 1]).astype(np.float32)
    if name == "pseudo_mask":
        return random.integers(0, 2, [4, 5, 7, 1]).astype(np.float32)
    if name in ("background_activation", "whole_activation"):
        return random.uniform(0.5, 9.0, [4]).astype(np.float32) + len(name)
    if name == "logits":
        return random.normal(0.0, 3.0, [4, 6]).astype(np.float32)
    if name == "teacher_logits":
        return random.normal(1.0, 2.0, [4, 6]).astype(np.float32)
    if name == "labels":
        return np.array([5, 0, 3, 3], np.int32)
    raise NotImplementedError(f"No test input for {name!r}: add an ordinary and an extreme one to this file.")


def extreme(name):
    """Returns four examples with the most extreme allowed values."""
    if name == "activation_map":
        ends = [0.0, 1.0, 1e-45, 1e-38, TINY, 1.0 - TINY, 0.5, 1e-7]
        return np.array([ends, [0.0] * 8, [1.0] * 8, [0.5] * 8], np.float32).reshape(4, 2, 4, 1)
    if name == "pseudo_mask":
        return np.array([[0, 1] * 4, [1] * 8, [0] * 8, [0, 1] * 4], np.float32).reshape(4, 2, 4, 1)
    if name == "background_activation":
        return np.array([0.0, 1e-30, 1e30, 0.0], np.float32)
    if name == "whole_activation":
        return np.array([0.0, 1e-30, 1e20, 1e-38], np.float32)
    if name in ("logits", "teacher_logits"):
        rows = [[1e30, -1e30, 0.0], [-1e30, 1e30, 0.0], [1e4, 1e4, 1e4], [-300.0, 0.0, 300.0]]
        return np.array(rows, np.float32)
    return np.array([0, 0, 1, 0], np.int32)


def inputs(name, make=ordinary):
    parameters = inspect.signature(registry.find("losses", name)).parameters.values()
    return [tf.constant(make(p.name)) for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]


def values_and_gradients(loss, tensors, **options):
    watched = [tensor for tensor in tensors if tensor.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        values = loss(*tensors, **options)
    gradients = tape.gradient(values, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return values.numpy(), [gradient.numpy() for gradient in gradients]


def slopes(function, point, step=1e-6):
    """Returns the central differences of a scalar float64 function of a vector."""
    return np.array([(function(point + d) - function(point - d)) / (2.0 * step) for d in step * np.eye(len(point))])
