"""Addresses of a model: a REST URL, a gRPC address or the folder of an export."""
from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ornet_tf.errors import UserError

DEFAULT_URL = "http://127.0.0.1:8501/v1/models/ornet"
_GRPC_PORT = 8500


class GrpcAddress(NamedTuple):
    """A model behind a gRPC server. Without a version the server chooses."""

    host: str
    port: int
    model: str
    version: int | None


def kind(address: str) -> str:
    """Returns "rest", "grpc" or "folder".

    Raises:
      UserError: if the address has another form.
    """
    scheme = address.partition("://")[0]
    try:
        if scheme in ("http", "https") and urlsplit(address).hostname:
            return "rest"
    except ValueError:  # such as a single opening bracket
        scheme = ""
    if scheme == "grpc" and "://" in address:
        parse_grpc(address)
        return "grpc"
    if os.path.isdir(address):
        return "folder"
    raise UserError(
        f"Expected a model's URL such as {DEFAULT_URL}, grpc://127.0.0.1:{_GRPC_PORT}/ornet or the folder of an "
        f"export, but got {address!r}."
    )


def parse_grpc(address: str) -> GrpcAddress:
    """Splits grpc://HOST[:PORT]/MODEL[/versions/N]. The default port is 8500. Labels are not supported.

    Raises:
      UserError: if the address has another form.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _GRPC_PORT
    except ValueError:  # the port is no number, or out of range
        host, port = None, 0
    path = re.fullmatch(r"/([^/:]+)(?:/versions/(\d{1,18}))?/?", parts.path) if host else None
    if not path or parts.scheme != "grpc" or parts.query:
        raise UserError(
            f"Expected a gRPC address such as grpc://127.0.0.1:{_GRPC_PORT}/ornet or .../ornet/versions/2, but got "
            f"{address!r}."
        )
    return GrpcAddress(host, port, unquote(path[1]), int(path[2]) if path[2] else None)


def is_loopback(host: str | None) -> bool:
    """Whether a host is the loopback address of this machine, which a proxy cannot reach."""
    return host in ("127.0.0.1", "localhost", "::1")
