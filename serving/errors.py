"""Errors of requests: status codes and the HTTP statuses that TensorFlow Serving gives them."""
from __future__ import annotations

import enum

_MAX_SHOWN_CHARACTERS = 300
_MAX_REPLY_CHARACTERS = 1024  # TensorFlow Serving cuts its messages over gRPC at the same length


class Code(enum.IntEnum):
    """The canonical status codes; `tf.errors.OpError.error_code` has the same numbers."""

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
    """A request that cannot be answered. Its message is sent to the caller."""

    def __init__(self, code: Code, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The HTTP status of the reply; 500 for codes that have no status of their own."""
        return _HTTP_STATUS.get(self.code, 500)

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def invalid(message: str) -> RequestError:
    """Returns an INVALID_ARGUMENT error (HTTP 400)."""
    return RequestError(Code.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestError:
    """Returns a NOT_FOUND error (HTTP 404)."""
    return RequestError(Code.NOT_FOUND, message)


def cut_for_reply(message: str) -> str:
    """Returns a message of at most 1,024 characters: it may quote a large part of the request."""
    if len(message) <= _MAX_REPLY_CHARACTERS:
        return message
    return message[:_MAX_REPLY_CHARACTERS] + "...TRUNCATED"


def cut_for_people(text: str) -> str:
    """Returns a message as one line of at most 300 characters: a server's message may quote a whole image."""
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[:_MAX_SHOWN_CHARACTERS] + " ..."
