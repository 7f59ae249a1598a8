"""The routes of TensorFlow Serving's REST API over a model store, without the HTTP around them."""
from __future__ import annotations

import json
import re
import types
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from serving import json_text, rest_codec
from serving.errors import Code, RequestError, echo, for_reply, invalid
from serving.model_store import ModelStore

_API = re.compile(r"/v1/.*", re.IGNORECASE)
_CHOICE = r"(?:/versions/([0-9]+)|/labels/([^/:]+))?"
_ACTION = re.compile(rf"/v1/models/([^/:]+){_CHOICE}:(classify|regress|predict)", re.IGNORECASE)
_LOOK = re.compile(rf"/v1/models(?:/([^/:]+))?{_CHOICE}(/metadata)?", re.IGNORECASE)
_LARGEST_VERSION = 2**63 - 1
_NO_HEADERS: Mapping[str, str] = types.MappingProxyType({})
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


class Reply(NamedTuple):
    """An HTTP reply; `content` is JSON unless the content type says otherwise."""

    status: int
    content: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = _NO_HEADERS


class RestApi:
    """Answers requests for one model. Calls may come from several threads at once."""

    def __init__(self, store: ModelStore, *, cors: bool = False):
        """Keeps the store.

        Args:
          store: holds the model.
          cors: whether replies allow pages of all origins to read them.
        """
        self._store = store
        self._headers = _CORS if cors else _NO_HEADERS

    def answer(self, method: str, target: str, body: bytes = b"", *, origin: str = "") -> Reply:
        """Returns the reply to a request, whatever is wrong with it.

        Args:
          method: the HTTP method in capitals.
          target: the path with its query string, still percent-encoded: a query is no part of any route.
          body: the request's body, inflated.
          origin: the Origin header.
        """
        if not _API.fullmatch(target):
            return Reply(404, b"<html><head><title>404 Not Found</title></head></html>\n", "text/html")
        return self._answer(method, target, body, origin)._replace(headers=self._headers)

    def failure(self, status: int, message: str) -> Reply:
        """Returns the reply to a request that could not be answered."""
        return Reply(status, _json({"error": for_reply(message)}), headers=self._headers)

    def _answer(self, method: str, target: str, body: bytes, origin: str) -> Reply:
        if method == "OPTIONS":
            return Reply(200 if re.search("https?://", origin) else 400)
        try:
            return Reply(200, self._dispatch(method, target, body))
        except RequestError as error:
            return self.failure(error.http_status, error.message)

    def _dispatch(self, method: str, target: str, body: bytes) -> bytes:
        malformed = invalid(f"Malformed request: {method} {echo(target)}")
        match = _ACTION.fullmatch(target) if method == "POST" else _LOOK.fullmatch(target) if method == "GET" else None
        if not match:
            raise malformed
        name, digits, label, word = match.groups()
        version = _version(digits)
        label = unquote(label) if label else ""
        if method == "POST":
            # The route is matched in any case, the word that it ends in only in small letters.
            if word == "predict":
                return self._predict(unquote(name), version, label, body)
            if word in ("classify", "regress"):
                raise RequestError(Code.UNIMPLEMENTED, f"The local server answers :predict, not :{word}.")
            raise malformed
        if not name:
            raise invalid("Missing model name in request.")
        if word == "/metadata":
            return self._metadata(unquote(name), version, label)
        return self._status(unquote(name), version)

    def _predict(self, name: str, version: int | None, label: str, body: bytes) -> bytes:
        document = json_text.parse(body)
        signature = rest_codec.signature_name(document)
        _, model = self._find(name, version, label)
        tensors, row = rest_codec.read_tensors(document, model.inputs(signature))
        return rest_codec.write_tensors(model.run(signature, tensors), row=row)

    def _find(self, name: str, version: int | None, label: str) -> tuple[int, Any]:
        if label:
            return self._store.labelled(name, label)
        return self._store.model(name, version)

    def _status(self, name: str, version: int | None) -> bytes:
        states = self._store.states(name, version)
        rows = [
            {
                "version": str(number),
                "state": state.state,
                "status": {"error_code": state.code.name, "error_message": state.message},
            }
            for number, state in states.items()
        ]
        return _json({"model_version_status": rows})

    def _metadata(self, name: str, version: int | None, label: str) -> bytes:
        number, model = self._find(name, version, label)
        return _json(
            {
                "model_spec": {"name": name, "signature_name": "", "version": str(number)},
                "metadata": {"signature_def": {"signature_def": model.metadata()}},
            }
        )


def _version(digits: str | None) -> int | None:
    if not digits:
        return None
    # Compared as text first: int() refuses thousands of digits.
    if len(digits.lstrip("0")) > len(str(_LARGEST_VERSION)) or int(digits.lstrip("0") or "0") > _LARGEST_VERSION:
        raise invalid(f"Failed to convert version: {echo(digits)} to numeric.")
    return int(digits.lstrip("0") or "0")


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=4).encode()
