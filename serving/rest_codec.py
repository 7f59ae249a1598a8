"""Converts predict requests and replies between JSON and NumPy arrays.

Both formats of TensorFlow Serving's REST API are read and written: the row format (`instances`) and the column format
(`inputs`). Strings are arrays of dtype object that hold bytes.
"""
from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.errors import Code, RequestError, invalid

DEFAULT_SIGNATURE = "serving_default"
# The Python types of JSON values that an input accepts, by the kind of its NumPy type. A bool is no number.
_ACCEPTED = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}, "O": {bytes}}
_JSON_NAMES = {bool: "a boolean", str: "a string", dict: "an object", type(None): "null"}


def parse(body: bytes) -> dict[str, Any]:
    """Returns the JSON object of a request. NaN, Infinity and -Infinity are numbers.

    Raises:
      RequestError: INVALID_ARGUMENT if the body is not a JSON object.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid("Expected a JSON object as the body of the request.")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """Returns the `signature_name` of a request, or "" if it has none.

    Raises:
      RequestError: INVALID_ARGUMENT if the name is not a string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("Expected a string as the value of 'signature_name'.")
    return name


def read_tensors(document: Mapping[str, Any], inputs: Mapping[str, str]) -> tuple[dict[str, np.ndarray], bool]:
    """Returns the arrays of a request by input name, and whether the request is in the row format.

    Args:
      document: the JSON object of the request.
      inputs: TensorFlow's type name (`string`, `float32` ...) of each input of the signature, at least one.

    Raises:
      RequestError: INVALID_ARGUMENT if the request does not fit the inputs, UNIMPLEMENTED if JSON cannot hold the type
        of an input.
    """
    if "instances" in document and "inputs" in document:
        raise invalid("Expected only one of 'inputs' and 'instances', but got both.")
    if "instances" in document:
        columns, is_row = _columns_of_rows(document["instances"], inputs), True
    elif "inputs" in document:
        columns, is_row = _named(document["inputs"], inputs), False
    else:
        raise invalid("Missing 'inputs' or 'instances' key.")
    return {name: _array(name, columns[name], kind) for name, kind in inputs.items()}, is_row


def _named(value: Any, inputs: Mapping[str, str]) -> Mapping[str, Any]:
    """Returns the value of each input in the column format."""
    if not isinstance(value, dict) or _is_base64(value):
        if len(inputs) > 1:
            raise invalid(f"Expected 'inputs' as an object with the keys {_listed(inputs)}.")
        return dict.fromkeys(inputs, value)
    missing = [name for name in inputs if name not in value]
    if missing:
        raise invalid(f"Missing named input in 'inputs': {_listed(missing)}.")
    return value


def _columns_of_rows(instances: Any, inputs: Mapping[str, str]) -> Mapping[str, Any]:
    """Returns the values of each input in the row format."""
    if not isinstance(instances, list) or not instances:
        raise invalid("Expected 'instances' as a list with at least one value.")
    is_plain = not isinstance(instances[0], dict) or _is_base64(instances[0])
    if is_plain and len(inputs) == 1:
        return dict.fromkeys(inputs, instances)
    for i, instance in enumerate(instances):
        if not isinstance(instance, dict) or set(instance) != set(inputs):
            raise invalid(f"Expected an object with exactly the keys {_listed(inputs)} as element {i} of 'instances'.")
    return {name: [instance[name] for instance in instances] for name in inputs}


def _listed(names) -> str:
    return ", ".join(sorted(names))


def _array(name: str, value: Any, kind: str) -> np.ndarray:
    """Returns nested lists as an array of TensorFlow's type `kind`."""
    dtype = np.dtype(object if kind == "string" else kind)
    if dtype.kind not in _ACCEPTED:
        raise RequestError(Code.UNIMPLEMENTED, f"The input {name!r} has the type {kind}, which JSON cannot hold.")
    leaves, shape = _flatten(name, value)
    if kind == "string":
        leaves = [_bytes(name, leaf) for leaf in leaves]
    for found in set(map(type, leaves)) - _ACCEPTED[dtype.kind]:
        got = _JSON_NAMES.get(found, "a number")
        raise invalid(f"Expected values of type {kind} for the input {name!r}, but got {got}.")
    if dtype.kind in "iu" and leaves:
        limits = np.iinfo(dtype)
        if min(leaves) < limits.min or max(leaves) > limits.max:
            raise invalid(f"Expected integers in {limits.min}..{limits.max} for the input {name!r}.")
    try:
        return _filled(leaves, dtype).reshape(shape)
    except (OverflowError, ValueError) as error:  # an integer beyond the floats, more axes than NumPy has
        raise invalid(f"The input {name!r} cannot be read: {error}.") from None


def _flatten(name: str, value: Any) -> tuple[list[Any], list[int]]:
    """Returns the values inside nested lists, and the shape of these lists."""
    values, shape = [value], []
    while any(isinstance(v, list) for v in values):
        sizes = {len(v) if isinstance(v, list) else None for v in values}
        if len(sizes) > 1:
            raise invalid(f"Expected lists of the same size at each level of the input {name!r}, but they differ.")
        shape += sizes
        values = [element for v in values for element in v]
    return values, shape


def _filled(leaves: list[Any], dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "O":
        array = np.empty(len(leaves), object)
        array[:] = leaves
        return array
    with np.errstate(over="ignore"):  # numbers beyond float32 become infinite
        return np.array(leaves, np.float64 if dtype.kind == "f" else dtype).astype(dtype)


def _is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes: an object with the single key `b64` and a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _bytes(name: str, value: Any) -> Any:
    """Returns the bytes of a JSON string or of base64; other values unchanged."""
    try:
        if isinstance(value, str):
            return value.encode()
        if _is_base64(value):
            digits = "".join(value["b64"].split()).rstrip("=")  # padding is optional
            return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        what = "text" if isinstance(value, str) else "base64 (the alphabet with + and /)"
        raise invalid(f"Expected valid {what} for the input {name!r}, but it cannot be decoded.") from None
    return value


def write_tensors(tensors: Mapping[str, np.ndarray], *, row: bool) -> bytes:
    """Returns the body of a reply: {"predictions": [...]} in the row format, {"outputs": ...} in the column format.

    Args:
      tensors: at least one. A single output is written without its name. Strings of outputs whose name ends in `_bytes`
        become {"b64": ...}.
      row: whether to write one element for each index of the first axis.

    Raises:
      RequestError: INVALID_ARGUMENT if, in the row format, the outputs do not have the same first axis.
    """
    if row and (any(t.ndim == 0 for t in tensors.values()) or len({len(t) for t in tensors.values()}) > 1):
        raise invalid("The outputs differ in the size of their first axis; use the column format ('inputs').")
    values = {name: _json_value(name, tensor) for name, tensor in tensors.items()}
    if row:
        rows = zip(*values.values())
        document = {"predictions": [_without_single_name(dict(zip(values, one))) for one in rows]}
    else:
        document = {"outputs": _without_single_name(values)}
    return json.dumps(document).encode()


def _without_single_name(values: dict[str, Any]) -> Any:
    return next(iter(values.values())) if len(values) == 1 else values


def _json_value(name: str, tensor: np.ndarray) -> Any:
    """Returns an array as nested lists of what JSON can hold."""
    if tensor.dtype == object:
        write = _base64 if name.endswith("_bytes") else _text
        return _filled([write(value) for value in tensor.flat], tensor.dtype).reshape(tensor.shape).tolist()
    if tensor.dtype == np.float32:
        # The fewest digits that are still this float32: 0.1 instead of 0.10000000149011612.
        tensor = tensor.astype("U").astype(np.float64)
    return tensor.tolist()


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
