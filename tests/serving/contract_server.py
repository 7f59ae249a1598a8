"""The server that the contract tests ask: the one that the environment names, or a local server of their own.

  ORNET_SERVING_URL        http://HOST:PORT, or https; without it the tests start serving/local_server.py
  ORNET_SERVING_MODEL      the model's name there; `ornet` by default
  ORNET_SERVING_MODEL_DIR  the folder that the server watches for versions: tests publish there, and clean up

The tests hold for stock TensorFlow Serving, too: they look at status codes, at parsed JSON (NaN is a number) and at
parts of error messages, never at blanks or the order of keys.
"""
import base64
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import time
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pytest

from serving import local_server
from tests.serving import contract_model

_SECONDS = 120  # for an answer: a server that hangs fails the test


class Reply(NamedTuple):
    """An HTTP reply."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self):
        """The parsed JSON; NaN and the infinities are numbers."""
        return json.loads(self.body)

    @property
    def outcome(self):
        """Status and parsed JSON: what tests compare, and what they show when they fail."""
        return self.status, self.document


class Server(NamedTuple):
    """A server with one model that is asked. `folder` is where its versions are published, None if that is unknown."""

    url: str
    model: str
    folder: pathlib.Path | None = None

    def connection(self):
        """Returns a connection that stays open; proxies of the environment are not used."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.netloc, timeout=_SECONDS)

    def path(self, path):
        """Returns a path with the model's name in the place of {model}, as it is sent."""
        return path.replace("{model}", quote(self.model))

    def ask(self, method, path, body=b"", headers=(), connection=None):
        """Sends a request and returns the Reply.

        Args:
          method: the HTTP method.
          path: what is asked; {model} in it stands for the model's name.
          body: bytes, or an object that is sent as JSON.
          headers: name -> value.
          connection: one that is kept; without it a new one is made.
        """
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        kept = connection or self.connection()
        try:
            kept.request(method, self.path(path), body or None, dict(headers))
            answer = kept.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            if connection is None:
                kept.close()

    def predict(self, body, at="", connection=None):
        """Asks the model, or with `at` one of its versions or labels, such as /versions/2."""
        return self.ask("POST", f"/v1/models/{{model}}{at}:predict", body, connection=connection)

    def get(self, at=""):
        """Returns the JSON of a GET below the model, such as /metadata; fails if the status is not 200."""
        reply = self.ask("GET", f"/v1/models/{{model}}{at}")
        assert reply.status == 200, reply.body[:1000]
        return reply.document

    def states(self):
        """Returns the state of each version: number -> AVAILABLE and so on."""
        return {int(row["version"]): row["state"] for row in self.get()["model_version_status"]}

    def version(self, at=""):
        """Returns the number of the version that answers."""
        return int(self.get(f"{at}/metadata")["model_spec"]["version"])

    def signatures(self):
        """Returns the signatures by name, as the metadata describe them."""
        return self.get("/metadata")["metadata"]["signature_def"]["signature_def"]

    def needs(self, signature):
        """Skips the test where the model lacks a signature that only the model of these tests has."""
        if signature not in self.signatures():
            pytest.skip(f"the model at {self.url} is not that of tests/serving/contract_model.py: no {signature!r}")


def b64(content):
    """Returns what stands for bytes in JSON."""
    return {"b64": base64.b64encode(content).decode()}


def expect_error(reply, status, *parts):
    """Fails unless a reply is an error with this status and with all parts in its message."""
    assert reply.status == status, reply.body[:1000]
    assert reply.headers.get_content_type() == "application/json"
    assert list(reply.document) == ["error"]
    for part in parts:
        assert part in reply.document["error"]


def wait_for(condition, seconds=_SECONDS):
    """Looks until a condition holds; fails if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this did not happen in time"
        time.sleep(0.05)


@contextlib.contextmanager
def published(server, content):
    """Publishes a copy of the folder `content`, whole or not at all, as the next version; takes it back at the end.

    Yields:
      The version's number.
    """
    # A number that the server has never seen: its state says nothing of what was there before.
    known = [*server.states(), *(int(path.name) for path in server.folder.iterdir() if path.name.isdigit())]
    version = 1 + max(known)
    aside, place = server.folder / f"writing-{version}", server.folder / str(version)
    try:
        shutil.copytree(content, aside)
        aside.rename(place)
        yield version
    finally:
        if place.exists():
            place.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def given():
    """Returns the server that the environment names, None if it names none.

    Raises:
      ValueError: if it is no URL, or says more than where the server is, or the folder is none.
    """
    url = os.environ.get("ORNET_SERVING_URL", "").rstrip("/")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise ValueError(f"Expected ORNET_SERVING_URL as http://HOST:PORT without a path, but got {url!r}.")
    folder = os.environ.get("ORNET_SERVING_MODEL_DIR", "")
    if folder and not any(path.name.isdigit() for path in pathlib.Path(folder).glob("*")):
        raise ValueError(f"Expected numbered versions in ORNET_SERVING_MODEL_DIR, but {folder} has none.")
    return Server(url, os.environ.get("ORNET_SERVING_MODEL", "ornet"), pathlib.Path(folder) if folder else None)


@contextlib.contextmanager
def given_or_started(folder):
    """Yields the server that the environment names, or a local server on a model that is written into `folder`.

    Fails with one sentence if the environment names none that answers.
    """
    try:
        server = given()
        if server is not None:
            wait_for(lambda: "AVAILABLE" in server.states().values())
    except ValueError as error:
        failure = str(error)
    except OSError as error:
        failure = f"Expected a server at ORNET_SERVING_URL, but {server.url} does not answer: {error}."
    else:
        failure = ""
    if failure:
        pytest.fail(failure, pytrace=False)
    if server is None:
        contract_model.write(folder / "1")
        with local_server.running(folder, "ornet", poll_wait_seconds=0.1) as url:
            yield Server(url.split("/v1/models/")[0], "ornet", folder)
    else:
        yield server
