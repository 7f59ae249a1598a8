"""Pretrained weights of Keras Applications, from a download or a file."""
from __future__ import annotations

from collections.abc import Iterable

import h5py

from ornet_tf import paths
from ornet_tf.compat import keras
from ornet_tf.errors import UserError


def copy_weights(name: str, weights: str, parts: Iterable[keras.Model], *, include_top: bool) -> frozenset[str]:
    """Copies pretrained weights to the layers of the same name and returns the names of these layers.

    A layer whose weights have other shapes, such as a dense layer for other classes, keeps its own.

    Args:
      name: the model in `keras.applications`, such as "VGG16".
      weights: `imagenet` (a download), or the path of a weights file in the layout of that model.
      parts: functional models.
      include_top: whether to download the file with the dense layers. A file of the user has them or has them not.

    Raises:
      UserError: if `weights` is an empty string or a URL, or the file holds the weights of another model.
      FileNotFoundError: if `weights` is neither a name nor a file.
      OSError: if the weights can't be downloaded, or the file is no HDF5 file.
    """
    if weights != "imagenet":
        path = paths.local(weights, "weights")
        if not path.is_file():
            raise FileNotFoundError(
                f"weights: expected 'imagenet', None or the path of a {name} weights file; {weights!r} is no file."
            )
        weights = str(path)
        with h5py.File(weights, "r") as file:
            include_top = "predictions" in file
    loaded = {layer.name: layer for layer in _load(name, weights, include_top).layers if layer.weights}
    copied = set()
    for layer in (layer for part in parts for layer in part.layers if layer.name in loaded):
        weights_of_file = loaded[layer.name].weights
        if [tuple(w.shape) for w in weights_of_file] == [tuple(w.shape) for w in layer.weights]:
            layer.set_weights(loaded[layer.name].get_weights())  # one layer at a time: together they can take 550 MB
            copied.add(layer.name)
    return frozenset(copied)


def _load(name: str, weights: str, include_top: bool) -> keras.Model:
    try:
        return getattr(keras.applications, name)(include_top=include_top, weights=weights)
    except ValueError as error:  # the numbers of layers or the shapes differ
        if weights == "imagenet":
            raise
        raise UserError(f"weights: {weights} has no weights of {name} in the layout of Keras: {error}") from error
    except Exception as error:  # without a network Keras raises a plain Exception
        if weights != "imagenet":
            raise
        raise OSError(
            f"weights: {name}'s ImageNet weights can't be downloaded ({str(error).splitlines()[0]}). Download the file "
            "on a machine with a network, and pass it by --config.backbone.options.weights=FILE."
        ) from error
