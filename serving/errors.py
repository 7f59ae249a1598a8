"""Failed requests: status codes, the HTTP statuses that TensorFlow Serving gives them, what clients make of them."""
from __future__ import annotations

import enum

from ornet_tf.errors import UserError

_LONGEST_MESSAGE = 300
_LONGEST_ECHO = 256
_LONGEST_REPLY = 1024  # as TensorFlow Serving cuts its messages over gRPC


class Code(enum.IntEnum):
    """The canonical codes; `tf.errors.OpError.error_code` holds the same numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_HTTP_STATUS = {
    Code.OK: 200,
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.CANCELLED: 499,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}


class RequestError(Exception):
    """A request that cannot be answered; its message goes to the caller as it is."""

    def __init__(self, code: Code, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The HTTP status of the reply; codes without one of their own are 500."""
        return _HTTP_STATUS.get(self.code, 500)

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def invalid(message: str) -> RequestError:
    """Returns an INVALID_ARGUMENT error (HTTP 400)."""
    return RequestError(Code.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestError:
    """Returns a NOT_FOUND error (HTTP 404)."""
    return RequestError(Code.NOT_FOUND, message)


class PictureRefusedError(UserError):
    """What a model says to a request because of its contents: one picture of several may be the reason."""


def echo(text: str) -> str:
    """Returns what a caller sent, for a message about it: whole, or its first 256 characters."""
    return text if len(text) <= _LONGEST_ECHO else text[:_LONGEST_ECHO] + "..."


def for_reply(message: str) -> str:
    """Returns a message as it is sent: 1,024 characters at most, whatever of the request is in it."""
    return message if len(message) <= _LONGEST_REPLY else message[:_LONGEST_REPLY] + "...TRUNCATED"


def short(text: str) -> str:
    """Returns a message for people: one line and cut, for a server's may echo the whole picture that was sent."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " ..."
