"""A SavedModel as TensorFlow Serving runs it: signatures by name, arrays in and out, the metadata reply."""
from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from ornet_tf.errors import UserError
from serving.errors import Code, RequestError, invalid
from serving.rest_codec import DEFAULT_SIGNATURE

_TAG = "serve"


class SavedModel:
    """One loaded version of a model. Its methods may be called from several threads at once.

    Attributes:
      map_extent: the part of an image that the activation map covers, [ymin, xmin, ymax, xmax] in fractions, as the
        export's provenance says; None if it does not.
    """

    def __init__(self, path: str | os.PathLike):
        """Loads the folder `path` of a SavedModel that was saved with the tag `serve`.

        Raises:
          FileNotFoundError: if there is no SavedModel.
          UserError: if none of its graphs has the tag.
        """
        file = pathlib.Path(path) / "saved_model.pb"
        if not file.is_file():
            raise FileNotFoundError(f"Expected a SavedModel in {path}, but it has no saved_model.pb.")
        saved = saved_model_pb2.SavedModel()
        saved.ParseFromString(file.read_bytes())
        graphs = [graph for graph in saved.meta_graphs if set(graph.meta_info_def.tags) == {_TAG}]
        if not graphs:
            raise UserError(f"Expected a SavedModel with the tag {_TAG!r} in {path}; save it with signatures.")
        self._definitions = dict(graphs[0].signature_def)
        # The functions refer to the variables only weakly, so the model itself is kept.
        self._loaded = tf.saved_model.load(str(path), tags=[_TAG])
        self.map_extent = _read_map_extent(file.with_name("assets") / "provenance.json")

    def inputs(self, signature: str) -> dict[str, str]:
        """Returns the type of each input of a signature, such as `string` or `uint8`; "" means `serving_default`.

        Raises:
          RequestError: INVALID_ARGUMENT if there is no such signature or it takes no input.
        """
        name = signature or DEFAULT_SIGNATURE
        if name not in self._definitions:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        infos = self._definitions[name].inputs
        if not infos:
            raise invalid(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
        return {key: tf.as_dtype(info.dtype).name for key, info in infos.items()}

    def run(self, signature: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature by name.

        Raises:
          RequestError: INVALID_ARGUMENT if the names of the inputs do not match; TensorFlow's code if the graph fails.
        """
        function = self._loaded.signatures[signature or DEFAULT_SIGNATURE]
        specs = function.structured_input_signature[1]
        if set(specs) != set(tensors):
            got, expected = (", ".join(sorted(names)) for names in (tensors, specs))
            raise invalid(f"Expected the inputs {expected}, but got {got}.")
        try:
            outputs = function(**{name: tf.constant(tensors[name], spec.dtype) for name, spec in specs.items()})
        except tf.errors.OpError as error:
            raise RequestError(Code(error.error_code), _plain(error.message)) from error
        except UnicodeDecodeError as error:
            # TensorFlow's message has bytes of the input in it, which a failed assertion printed.
            raise invalid(_plain(error.object.decode("utf-8", "replace"))) from error
        return {name: _numpy(tensor) for name, tensor in outputs.items()}

    def metadata(self) -> dict[str, Any]:
        """Returns the signatures in the form of TensorFlow Serving's metadata reply."""
        return {
            name: {
                "inputs": {key: _tensor_info(info) for key, info in definition.inputs.items()},
                "outputs": {key: _tensor_info(info) for key, info in definition.outputs.items()},
                "method_name": definition.method_name,
            }
            for name, definition in self._definitions.items()
        }


def _read_map_extent(path: pathlib.Path) -> list[float] | None:
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError):  # a SavedModel of another program; requests do not need the file
        return None
    extent = facts.get("map_extent") if isinstance(facts, dict) else None
    is_valid = isinstance(extent, list) and len(extent) == 4 and all(isinstance(edge, (int, float)) for edge in extent)
    return extent if is_valid else None


def _type_name(number: int) -> str:
    return types_pb2.DataType.Name(number)


def _tensor_info(info) -> dict[str, Any]:
    axes = [{"size": str(axis.size), "name": axis.name} for axis in info.tensor_shape.dim]
    return {
        "dtype": _type_name(info.dtype),
        "tensor_shape": {"dim": axes, "unknown_rank": info.tensor_shape.unknown_rank},
        "name": info.name,
    }


def _numpy(tensor: tf.Tensor) -> np.ndarray:
    value = tensor.numpy()
    return np.array(value, object) if tensor.dtype == tf.string else np.asarray(value)


def _plain(message: str) -> str:
    """Returns a message of the runtime without the text that TensorFlow's Python code adds."""
    return message.split("<stack traces unavailable>\n")[-1].split(" [Op:")[0]
