"""A model behind TensorFlow Serving's REST API, or behind the local server. It needs no TensorFlow."""
from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from ornet_tf.errors import ImageRefusedError, UserError
from ornet_tf.inference import detections, encoding
from serving import addresses
from serving.errors import cut_for_people

_TEMPORARY = (429, 503, 504)
_CONTENT_REFUSED = (400, 413)
_CHUNK = 2**16
_ERROR_BYTES = 2**16  # an error reply may quote the whole request, so no more of it is read
_MAX_WAIT_SECONDS = 30  # between two attempts, also where the server's Retry-After asks for more


class RestModel:
    """A model at a URL. Several threads may call its methods at once."""

    def __init__(self, url: str, *, timeout: float = 30.0, attempts: int = 5, connections: int = 8):
        """Connects at the first request.

        Args:
          url: such as http://127.0.0.1:8501/v1/models/ornet, without :predict; `/versions/N` or `/labels/NAME` may
            follow.
          timeout: seconds of one attempt: to connect, and then without a byte from the server.
          attempts: the largest number of attempts for one answer. The second follows at once; then the waits are 1 s,
            2 s, 4 s and so on, or what the server asks for, but 30 s at most.
          connections: the number of connections that stay open; more threads wait for each other.

        Raises:
          UserError: if `timeout` or `attempts` is out of range.
        """
        expect_limits(timeout, attempts)
        self._url = url.rstrip("/")
        self._timeout = timeout
        retries = urllib3.Retry(
            total=attempts - 1,
            other=0,  # such as a certificate that is not trusted
            allowed_methods=None,  # POST too: a prediction changes nothing on the server
            status_forcelist=_TEMPORARY,
            raise_on_status=False,
            backoff_factor=0.5,
            backoff_max=_MAX_WAIT_SECONDS,
            backoff_jitter=0.5,  # clients that were refused together do not come back together
            retry_after_max=_MAX_WAIT_SECONDS,
        )
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(
                scheme, requests.adapters.HTTPAdapter(pool_maxsize=connections, max_retries=retries)
            )
        self._session.trust_env = not addresses.is_loopback(urlsplit(url).hostname)

    def localize(
        self, images: Sequence[encoding.ImageInput], *, signature: str = "serving_default"
    ) -> list[detections.Detections]:
        """Finds the objects in each image, in one request; see `serving.loaded.LoadedModel.localize`.

        Raises:
          OSError: if a file cannot be read.
          TypeError: if something is not an image, or `images` is a single image.
          ValueError: if an array has a shape that no image has.
          ConnectionError: if the server cannot be reached.
          TimeoutError: if the server does not answer in time.
          ImageRefusedError: a UserError, if the server refuses the contents of the request (HTTP 400, 413).
          UserError: if the server refuses for another reason, or does not answer with detections.
        """
        encoding.check_is_list(images)
        if not images:
            return []
        encoded = [{"b64": base64.b64encode(encoding.encode(image)).decode()} for image in images]
        body = json.dumps({"signature_name": signature, "inputs": encoded}).encode()
        del encoded  # it is a third larger than the files, and not needed while the server works
        reply = self._post(body)
        with detections.explain_wrong_outputs(self._url):
            return detections.from_outputs(_outputs(reply), len(images))

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def _post(self, body: bytes) -> bytes:
        """Returns the body of the reply to a predict request."""
        content = bytearray()
        try:
            # As a stream, so that an error reply is not read to its end.
            with self._session.post(
                f"{self._url}:predict", data=body, headers={"Content-Type": "application/json"}, timeout=self._timeout,
                stream=True, allow_redirects=False,
            ) as reply:  # fmt: skip
                for chunk in reply.iter_content(_CHUNK):
                    content += chunk
                    if reply.status_code != 200 and len(content) >= _ERROR_BYTES:
                        break
        except requests.exceptions.SSLError as error:
            raise UserError(f"Cannot ask {self._url}: {cut_for_people(str(error))}") from None
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise self._unanswered(_innermost(error)) from None
        except requests.RequestException as error:
            raise UserError(f"Cannot ask {self._url}: {cut_for_people(str(error))}") from None
        if reply.status_code != 200:
            raise self._refusal(reply.status_code, bytes(content))
        return bytes(content)

    def _unanswered(self, reason: BaseException) -> OSError:
        if _is_timeout(reason):
            return TimeoutError(f"No answer from {self._url} within {self._timeout:g} s; is the server busy?")
        text = cut_for_people(getattr(reason, "strerror", None) or str(reason))
        return ConnectionError(f"No server answers at {self._url} ({text}); start one, or name another address.")

    def _refusal(self, status: int, content: bytes) -> UserError:
        message = f"{self._url} refuses with HTTP {status}: {cut_for_people(_error_text(content))}"
        return (ImageRefusedError if status in _CONTENT_REFUSED else UserError)(message)


def expect_limits(timeout: float, attempts: int) -> None:
    """Raises UserError unless a client's limits are in their range."""
    if not timeout > 0:
        raise UserError(f"Expected a timeout in seconds, above 0, but got {timeout}.")
    if attempts < 1:
        raise UserError(f"Expected at least one attempt, but got {attempts}.")


def _outputs(content: bytes) -> dict[str, Any]:
    """Returns the outputs in a reply in the column format as nested lists.

    Raises:
      ValueError: if it is no such reply; the message is the middle of a sentence.
    """
    try:
        outputs = json.loads(content)["outputs"]
        for name, values in outputs.items():
            if name.endswith("_bytes"):
                outputs[name] = [base64.b64decode(value["b64"]) for value in values]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # AttributeError: outputs is no object
        raise ValueError(f"got {cut_for_people(content[:_ERROR_BYTES].decode('utf-8', 'replace'))}") from None
    return outputs


def _error_text(content: bytes) -> str:
    text = content.decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        # It is not JSON, or it was not read to its end.
        return re.sub(r'^\s*\{\s*"error"\s*:\s*"', "", text)


def _is_timeout(error: BaseException) -> bool:
    # urllib3 counts a refused connection among its timeouts.
    is_timeout = isinstance(error, (TimeoutError, urllib3.exceptions.TimeoutError))
    return is_timeout and not isinstance(error, urllib3.exceptions.NewConnectionError)


def _innermost(error: BaseException) -> BaseException:
    """Returns the first cause of a failed request: a timeout, or an error such as "Connection refused"."""
    while not _is_timeout(error):
        wrapped = [getattr(error, "reason", None), *error.args, error.__cause__, error.__context__]
        causes = [cause for cause in wrapped if isinstance(cause, BaseException)]
        if not causes:
            break
        error = causes[0]
    return error
