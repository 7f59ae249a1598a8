"""HTTP connections on which `timeout` is the limit of a whole request, for `requests`.

The timeout of `requests`, like a socket's, begins anew with each byte that arrives: a server that sends one now and
then is never late. Here each step, and each reading, gets what is left of the time.
"""
from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from typing import Any

import requests


class TimedAdapter(requests.adapters.HTTPAdapter):
    """Ends a request within `timeout` seconds, from the connection over TLS and sending to the end of the answer.

    Two things stay outside: finding the address of a host's name, and the further addresses of a name whose first ones
    do not answer, each of which gets the time anew.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._clock = threading.local()  # `end`, of the request that a thread is sending

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Sends a request; `timeout`, a number of seconds, has to be given. Late is `requests.Timeout`.

        While the body is read, late is a `requests.ConnectionError` that says "timed out".
        """
        self._clock.end = time.monotonic() + options["timeout"]
        return super().send(request, **options)

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        """Returns the pool of connections that requests chooses; those that it opens are timed ones."""
        pool = super().get_connection_with_tls_context(*args, **options)
        if not issubclass(pool.ConnectionCls, _Timed):
            pool.ConnectionCls = type("TimedConnection", (_Timed, pool.ConnectionCls), {"clock": self._clock})
        return pool


class _Timed:
    """What makes a connection of urllib3 a timed one. One thread at a time uses a connection."""

    clock: threading.local

    @property
    def timeout(self) -> float:
        """The seconds that are left, which urllib3 gives to the socket before each step."""
        # Never 0, which means not to wait at all.
        return max(0.001, self.clock.end - time.monotonic())

    @timeout.setter
    def timeout(self, _: object) -> None:
        """Nothing: urllib3 sets the whole time again, after a proxy's tunnel and before the answer."""

    def send(self, data: Any) -> None:
        """Sends bytes as http.client does, in the time that is left."""
        if self.sock is not None:  # else it is opened now
            self.sock.settimeout(self.timeout)
        super().send(data)

    def response_class(self, sock: socket.socket, *args: Any, **options: Any) -> http.client.HTTPResponse:
        """Returns the response that http.client reads from the socket."""
        return http.client.HTTPResponse(_TimedSocket(sock, self.clock.end), *args, **options)


class _TimedSocket(io.RawIOBase):
    """A socket as http.client's responses read it: none of their readings lasts longer than until `end`."""

    def __init__(self, sock: socket.socket, end: float):
        self._socket = sock
        self._file = sock.makefile("rb", buffering=0)  # which keeps the socket open while there is more to read
        self._end = end

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
