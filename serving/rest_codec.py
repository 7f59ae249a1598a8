"""Predict requests and replies in the row ("instances") and column ("inputs") formats of TensorFlow Serving.

The messages, and the order in which faults are found, are TensorFlow Serving's.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from serving import json_tensor, json_text
from serving.errors import RequestError, echo, invalid

DEFAULT_SIGNATURE = "serving_default"


def signature_name(document: Any) -> str:
    """Returns the `signature_name` of a parsed request, "" where it has none.

    Raises:
      RequestError: INVALID_ARGUMENT if the document is not an object or the name not a string.
    """
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {json_text.dump(document)} Is not object")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {json_text.dump(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def read_tensors(document: Mapping[str, Any], inputs: Mapping[str, str]) -> tuple[dict[str, np.ndarray], bool]:
    """Returns the tensors of a parsed request by name, and whether it is in the row format.

    Args:
      document: the request's JSON object.
      inputs: TensorFlow's type name for each input of the signature, at least one.

    Raises:
      RequestError: INVALID_ARGUMENT or UNIMPLEMENTED, with TensorFlow Serving's message.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {json_text.dump(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {json_text.dump(document)} Expecting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {json_text.dump(document)} No values in 'instances' array")
        return _read_rows(instances, inputs), True
    if "inputs" in document:
        return _read_columns(document["inputs"], inputs), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not json_tensor.is_base64(value)


def _read_columns(value: Any, inputs: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not _is_named(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = {next(iter(inputs)): value}
    tensors = {}
    for name in sorted(inputs):
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        leaves, shape = json_tensor.flatten(value[name], inputs[name])
        tensors[name] = json_tensor.build(leaves, shape, inputs[name])
    return tensors


def _read_rows(instances: list[Any], inputs: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not isinstance(instances[0], dict) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = _is_named(instances[0])
    names = sorted(inputs)
    leaves: dict[str, list[Any]] = {}
    shapes: dict[str, list[int]] = {}
    for i, element in enumerate(instances):
        if _is_named(element) != named:
            wanted = "object but got list" if named else "value/list but got object"
            raise invalid(f"Expecting {wanted} at item {i} of input list")
        for name, value in element.items() if named else [(names[0], element)]:
            try:
                _add_row(name, value, inputs, leaves, shapes)
            except RequestError as error:
                key = f" key: {echo(name)}" if named else ""
                raise invalid(f"Failed to process element: {i}{key} of 'instances' list. Error: {error}") from None
        if named and len(element) != len(names):
            raise invalid(
                f"Failed to process element: {i} of 'instances' list. JSON object: {json_text.dump(element)} "
                f"keys must be equal to: {','.join(names)}"
            )
    return {name: json_tensor.build(leaves[name], [len(instances), *shapes[name]], inputs[name]) for name in leaves}


def _add_row(name: str, value: Any, inputs: Mapping[str, str], leaves: dict, shapes: dict) -> None:
    if name not in inputs:
        raise invalid(f"JSON object: does not have named input: {echo(name)}")
    found, shape = json_tensor.flatten(value, inputs[name])
    first = shapes.setdefault(name, shape)
    size = int(np.prod(first, dtype=np.int64))
    if len(found) != size:
        raise invalid(f"Expecting tensor size: {size} but got: {len(found)}")
    if shape != first:
        shown, got = (",".join(map(str, axes)) for axes in (first, shape))
        raise invalid(f"Expecting shape [{shown}] but got: [{got}]")
    leaves.setdefault(name, []).extend(found)


def write_tensors(tensors: Mapping[str, np.ndarray], *, row: bool) -> bytes:
    """Returns the body of a reply: {"predictions": [...]} in the row format, {"outputs": ...} in the column format.

    Args:
      tensors: at least one. The name is dropped where there is one; strings of outputs whose name ends in `_bytes`
        become {"b64": ...}.
      row: one element for each index of the tensors' first axis.

    Raises:
      RequestError: INVALID_ARGUMENT if a type cannot be written or, in the row format, if a tensor is a scalar or the
        first dimensions differ.
    """
    if row:
        _check_batch(tensors)
    elements = {name: json_tensor.texts(t, as_base64=name.endswith("_bytes")) for name, t in tensors.items()}
    if row:
        columns = [json_tensor.nest(elements[name], tensor.shape) for name, tensor in tensors.items()]
        content = '{"predictions": [' + ", ".join(_join(elements, texts) for texts in zip(*columns)) + "]}"
    else:
        texts = [json_tensor.nest(elements[name], (1, *tensor.shape))[0] for name, tensor in tensors.items()]
        content = '{"outputs": ' + _join(elements, texts) + "}"
    return content.encode("utf-8", "surrogateescape")


def _check_batch(tensors: Mapping[str, np.ndarray]) -> None:
    size = None
    for name, tensor in tensors.items():
        if tensor.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size is not None and tensor.shape[0] != size:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {tensor.shape[0]} expecting: {size}")
        size = tensor.shape[0]


def _join(names: Iterable[str], texts: Iterable[str]) -> str:
    pairs = list(zip(names, texts))
    if len(pairs) == 1:
        return pairs[0][1]
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in pairs) + "}"
