"""When and how requests are put together: TensorFlow Serving's batching parameters, with its names and defaults."""
from __future__ import annotations

import os
import pathlib
from typing import Any, NamedTuple

from ornet_tf.errors import UserError
from serving import text_proto

_BOOLEANS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
_IGNORED = "thread_pool_name"


class Parameters(NamedTuple):
    """As the file has them.

    Attributes:
      max_batch_size: rows of the largest request.
      batch_timeout_micros: microseconds that a batch waits to be filled, from its first request on.
      max_enqueued_batches: batches of one signature that may wait; requests that need more are refused as UNAVAILABLE
        (HTTP 503).
      num_batch_threads: batches that are run at once.
      enable_large_batch_splitting: whether requests may be larger than what is run at once.
      max_execution_batch_size: rows that are run at once, where larger requests are split.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 1000

    @property
    def rows_of_a_run(self) -> int:
        """How many rows are run at once."""
        return self.max_execution_batch_size if self.enable_large_batch_splitting else self.max_batch_size


def read(path: str | os.PathLike) -> Parameters:
    """Returns the parameters of a file, TensorFlow Serving's BatchingParameters in text form.

    Raises:
      OSError: if the file can't be read.
      ValueError: if it isn't such a file, or asks for what the local server doesn't do.
    """
    try:
        message = text_proto.parse(pathlib.Path(path).read_text(encoding="utf-8"))
        message.pop(_IGNORED, None)
        unknown = set(message) - set(Parameters._fields)
        if unknown:
            raise ValueError(f"expected {', '.join(Parameters._fields)}, found {', '.join(sorted(unknown))}")
        return _checked({name: _wrapped(message, name) for name in message})
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {error.strerror}; is it the batching parameters file?") from error
    except ValueError as error:
        raise UserError(f"Cannot read {path} as batching parameters: {error}.") from error


def _wrapped(message: text_proto.Message, name: str) -> int | bool:
    wrappers = message.messages(name)
    if len(wrappers) != 1:
        raise ValueError(f"expected {name} once, found it {len(wrappers)} times")
    wrapper = wrappers[0] or text_proto.Message(value=["0"])  # of which that is the default
    if not isinstance(Parameters._field_defaults[name], bool):
        return wrapper.integer("value")
    if wrapper.text("value") not in _BOOLEANS:
        raise ValueError(f"expected true or false for {name}, found {wrapper.text('value')!r}")
    return _BOOLEANS[wrapper.text("value")]


def _checked(values: dict[str, Any]) -> Parameters:
    if "max_execution_batch_size" not in values:
        values["max_execution_batch_size"] = values.get("max_batch_size", Parameters().max_batch_size)
    parameters = Parameters(**values)
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "max_execution_batch_size"):
        if getattr(parameters, name) < 1:
            raise ValueError(f"expected at least 1 for {name}, found {getattr(parameters, name)}")
    if parameters.rows_of_a_run > parameters.max_batch_size:
        raise ValueError(
            "expected max_execution_batch_size to be at most max_batch_size, "
            f"found {parameters.max_execution_batch_size} and {parameters.max_batch_size}"
        )
    return parameters
