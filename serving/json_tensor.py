"""One JSON value to one tensor and back, by the rules of TensorFlow Serving's REST API.

Types have TensorFlow's names: float, double, int32, ..., bool, string, half. Tensors are NumPy arrays; strings are
arrays of dtype object that hold bytes.
"""
from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from serving import json_text
from serving.errors import Code, RequestError, invalid

_INT32 = (-(2**31), 2**31 - 1)
# The small integers are read as int32 and wrapped: they have no range check of their own.
_INTEGERS = {
    "int8": _INT32,
    "int16": _INT32,
    "int32": _INT32,
    "uint8": _INT32,
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_FLOATS = {"float": np.float32, "double": np.float64}
_READABLE = {*_INTEGERS, *_FLOATS, "bool", "string"}
# NumPy 1 holds 32 axes, one of which the row format adds; deeper lists are refused instead of recursed into.
_MAX_RANK = 31


def flatten(value: Any, dtype: str) -> tuple[list[Any], list[int]]:
    """Returns the leaves of nested lists, converted to elements of `dtype`, and their shape.

    The first element of each level sets the shape.

    Raises:
      RequestError: INVALID_ARGUMENT if the lists are ragged or a leaf is of the wrong kind, UNIMPLEMENTED if `dtype`
        cannot be read from JSON.
    """
    shape = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        if len(shape) > _MAX_RANK:
            raise invalid(f"Encountered list at unexpected level: {_MAX_RANK} expected < {_MAX_RANK}")
        first = first[0] if first else None
    leaves: list[Any] = []
    _fill(value, 0, shape, dtype, leaves)
    return leaves, shape


def _fill(value: Any, level: int, shape: list[int], dtype: str, leaves: list[Any]) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {json_text.dump(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {rank}"
            )
        leaves.append(_leaf(value, dtype))
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for element in value:
        _fill(element, level + 1, shape, dtype, leaves)


def _leaf(value: Any, dtype: str) -> Any:
    kind = type(value)
    if dtype in _FLOATS and kind in (float, int):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    if dtype in _INTEGERS and kind is int and _INTEGERS[dtype][0] <= value <= _INTEGERS[dtype][1]:
        return value
    if dtype == "bool" and kind is bool:
        return value
    if dtype == "string" and kind is str:
        return json_text.to_bytes(value)
    if dtype == "string" and kind is dict:
        return _decode_base64(value)
    if dtype not in _READABLE and kind is not dict:
        raise RequestError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {json_text.dump(value)} to type: {dtype}")
    raise invalid(
        f"JSON Value: {json_text.dump(value)} Type: {json_text.type_name(value)} is not of expected type: {dtype}"
    )


def is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes: an object whose one key is `b64`, with a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _decode_base64(value: dict[str, Any]) -> bytes:
    if not is_base64(value):
        raise invalid(f"JSON Value: {json_text.dump(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split())
    digits = text.rstrip("=")
    missing = -len(digits) % 4
    if len(text) - len(digits) not in (0, missing):
        raise invalid("Unable to base64 decode")
    try:
        return base64.b64decode(digits + "=" * missing, validate=True)
    except ValueError:
        raise invalid("Unable to base64 decode") from None


def build(leaves: list[Any], shape: list[int], dtype: str) -> np.ndarray:
    """Returns the tensor of the leaves that `flatten` found. Numbers too large for float32 become infinite."""
    if dtype == "string":
        array = np.empty(len(leaves), object)
        array[:] = leaves
    elif dtype in _FLOATS:
        with np.errstate(over="ignore"):
            array = np.array(leaves, np.float64).astype(_FLOATS[dtype])
    elif dtype == "uint64":
        array = np.array(leaves, np.uint64)
    else:
        array = np.array(leaves, np.int64).astype(np.dtype(dtype))
    return array.reshape(shape)


def texts(tensor: np.ndarray, *, as_base64: bool) -> list[str]:
    """Returns the JSON text of each element of a tensor, in row-major order.

    Args:
      tensor: bool, integers, float32, float64, or object with bytes.
      as_base64: whether strings become {"b64": ...}; otherwise they are written as they are, even where they are not
        UTF-8 (as surrogate escapes).

    Raises:
      RequestError: INVALID_ARGUMENT if the type cannot be written.
    """
    values = tensor.ravel()
    if values.dtype == object:
        if as_base64:
            return ['{"b64": "' + base64.b64encode(value).decode() + '"}' for value in values]
        return [json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=False) for value in values]
    if values.dtype == np.bool_:
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype.kind in "iu":
        return [str(value) for value in values.tolist()]
    if values.dtype in (np.float32, np.float64):
        return _float_texts(values)
    name = {"float16": "half"}.get(values.dtype.name, values.dtype.name)
    raise invalid(f"Failed to write JSON value for tensor type: {name}")


def _float_texts(values: np.ndarray) -> list[str]:
    """Six digits where they round-trip in the array's own type, else nine (float32) or seventeen (float64)."""
    numbers = values.tolist()
    result = [f"{number:g}" for number in numbers]
    with np.errstate(over="ignore"):
        exact = np.array(result, np.float64).astype(values.dtype) == values
    for i in np.flatnonzero(~exact & np.isfinite(values)).tolist():
        result[i] = f"{numbers[i]:.{9 if values.dtype == np.float32 else 17}g}"
    # ".0" tells a whole number from an integer; words are not RFC 8259, but what the real server writes.
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return [words.get(text) or (text + ".0" if text.lstrip("-").isdigit() else text) for text in result]


def nest(elements: list[str], shape: tuple[int, ...]) -> list[str]:
    """Returns the texts of a tensor's first axis: the elements joined into lists of its inner shape.

    Args:
      elements: texts of all elements.
      shape: at least one axis; the result has shape[0] texts.
    """
    for axis in range(len(shape) - 1, 0, -1):
        count = int(np.prod(shape[:axis], dtype=np.int64))
        size = shape[axis]
        elements = ["[" + ", ".join(elements[i * size : (i + 1) * size]) + "]" for i in range(count)]
    return elements
