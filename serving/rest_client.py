"""A model behind TensorFlow Serving's REST API, or the local server's. Needs no TensorFlow."""
from __future__ import annotations

import base64
import datetime
import email.utils
import json
import re
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests

from ornet_tf.errors import UserError
from ornet_tf.inference import detections, encoding
from serving import addresses
from serving.errors import PictureRefusedError, short
from serving.retries import Retries, TemporaryError
from serving.timed_connection import TimedAdapter

_TEMPORARY = (429, 503, 504)
_OF_CONTENTS = (400, 413)
_CHUNK = 2**16
_ERROR_BYTES = 2**16  # read of an error reply: it may hold all that was sent


class RestModel:
    """A model at a URL. Its methods may be called from several threads at once."""

    def __init__(self, url: str, *, timeout: float = 30.0, retries: Retries | None = None, connections: int = 8):
        """Connects at the first request.

        Args:
          url: such as http://127.0.0.1:8501/v1/models/ornet, without :predict; `/versions/N` or `/labels/NAME` may
            follow.
          timeout: seconds for one attempt, from the connection to the whole answer; see `TimedAdapter`.
          retries: how often and how long to try.
          connections: the most that are kept open, so the most threads that need not wait for one.
        """
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._retries = retries or Retries()
        self._closed = threading.Event()
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, TimedAdapter(pool_maxsize=connections))
        self._session.trust_env = not addresses.is_loopback(urlsplit(url).hostname)

    def localize(
        self, images: Sequence[encoding.ImageInput], *, signature: str = "serving_default"
    ) -> list[detections.Detections]:
        """Finds the objects in each picture, in one request; see `ornet_tf.inference.loaded.LoadedModel.localize`.

        Raises:
          OSError: if a file cannot be read.
          TypeError: if something is no picture, or `images` is one; ValueError if its shape is none.
          ConnectionError: if the server cannot be reached.
          TimeoutError: if it does not answer in time.
          PictureRefusedError: a UserError, if it refuses what was sent (HTTP 400, 413).
          UserError: if it refuses for another reason, or answers with something else than detections.
        """
        encoding.check_is_list(images)
        if not images:
            return []
        pictures = [{"b64": base64.b64encode(encoding.encode(image)).decode()} for image in images]
        body = json.dumps({"signature_name": signature, "inputs": pictures}).encode()
        del pictures  # a third larger than the files: not twice, while the answer is awaited
        reply = self._retries.call(
            lambda seconds: self._post(body, seconds), timeout=self._timeout, closed=self._closed
        )
        with detections.explain_wrong_outputs(self._url):
            return detections.from_outputs(_outputs(reply), len(images))

    def close(self) -> None:
        """Closes the connections; whoever waits to try again gives up."""
        self._closed.set()
        self._session.close()

    def _post(self, body: bytes, seconds: float) -> bytes:
        late = f"No answer from {self._url} within {seconds:g} s; is the server busy?"
        try:
            # As a stream: of an error no more is read than is shown.
            with self._session.post(
                f"{self._url}:predict", data=body, headers={"Content-Type": "application/json"}, timeout=seconds,
                stream=True, allow_redirects=False,
            ) as reply:  # fmt: skip
                content = bytearray()
                for chunk in reply.iter_content(_CHUNK):
                    content += chunk
                    if reply.status_code != 200 and len(content) >= _ERROR_BYTES:
                        break
        except requests.Timeout:
            raise TemporaryError(TimeoutError, late) from None
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            if "timed out" in str(error):  # while the answer's body was read: requests has no class for that
                raise TemporaryError(TimeoutError, late) from None
            message = f"No server answers at {self._url} ({_reason(error)}); start one, or name another."
            raise TemporaryError(ConnectionError, message) from None
        except requests.RequestException as error:
            raise UserError(f"Cannot ask {self._url}: {short(str(error))}") from None
        if reply.status_code != 200:
            raise self._refusal(reply, bytes(content))
        return bytes(content)

    def _refusal(self, reply: requests.Response, content: bytes) -> Exception:
        message = f"{self._url} refuses with HTTP {reply.status_code}: {short(_error_text(content))}"
        if reply.status_code in _TEMPORARY:
            after = _retry_after(reply.headers.get("Retry-After", ""))
            return TemporaryError(UserError, message, retry_after=after)
        return (PictureRefusedError if reply.status_code in _OF_CONTENTS else UserError)(message)


def _outputs(content: bytes) -> dict[str, Any]:
    """Returns the tensors of a reply in the column format as nested lists."""
    try:
        outputs = json.loads(content)["outputs"]
        for name, values in outputs.items():
            if name.endswith("_bytes"):
                outputs[name] = [base64.b64decode(value["b64"]) for value in values]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # AttributeError: it is no object
        raise ValueError(f"got {short(content[:_ERROR_BYTES].decode('utf-8', 'replace'))}") from None
    return outputs


def _error_text(content: bytes) -> str:
    text = content.decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        # No JSON, or the beginning of one that was not read further.
        return re.sub(r'^\s*\{\s*"error"\s*:\s*"', "", text)


def _retry_after(value: str) -> float:
    """Returns the seconds that a Retry-After header asks for: it holds a number of them or a date. 0 without sense."""
    if value.strip().isdecimal():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=datetime.timezone.utc)
    return max(0.0, (date - datetime.datetime.now(datetime.timezone.utc)).total_seconds())


def _reason(error: BaseException) -> str:
    """Returns the innermost reason of a failed connection, such as "Connection refused"."""
    inner: Any = error
    while True:
        below = getattr(inner, "reason", None) or inner.__cause__ or inner.__context__
        if not isinstance(below, BaseException):
            return short(getattr(inner, "strerror", None) or str(inner))
        inner = below
