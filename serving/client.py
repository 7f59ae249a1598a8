"""Asks a served model where the object is: prints one JSON line per picture and draws the boxes.

    python -m serving.client bird.jpg --url=http://127.0.0.1:8501/v1/models/ornet --output_dir=boxes

Works with TensorFlow Serving and with `serving.local_server`, and needs no TensorFlow.
"""
from __future__ import annotations

import base64
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from absl import app, flags
from PIL import Image

from serving import overlay

DEFAULT_URL = "http://127.0.0.1:8501/v1/models/ornet"
_LONGEST_MESSAGE = 300
_OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "detection_class_names")


def localize(
    url: str, paths: Sequence[str | os.PathLike], *, signature: str = "serving_default", timeout: float = 30
) -> list[dict[str, Any]]:
    """Returns what the model finds in each picture, in the order of `paths`.

    Args:
      url: the model, such as http://127.0.0.1:8501/v1/models/ornet.
      paths: JPEG or PNG files.
      signature: `serving_default`, or `activation_map` for the map as well.
      timeout: seconds to wait for a connection, and again for an answer.

    Returns:
      Dictionaries with `file`, `box` (ymin, xmin, ymax, xmax as fractions of the upright picture), `score`, `class`,
      `class_name`, and `activation_map` (rows of numbers) where the signature has it.

    Raises:
      FileNotFoundError: if a picture is missing; other OSErrors if it cannot be read.
      ConnectionError: if the server cannot be reached.
      TimeoutError: if it does not answer in time.
      ValueError: if it refuses a picture, or answers with something else than detections.
    """
    with _session(url) as session:
        return [_ask(session, url, path, signature, timeout) for path in paths]


def _session(url: str) -> requests.Session:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ValueError(f"Expected a model's URL such as {DEFAULT_URL}, but got {url!r}.")
    session = requests.Session()
    # A proxy of the environment cannot reach this machine's own loopback address.
    session.trust_env = urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1")
    return session


def _ask(
    session: requests.Session, url: str, path: str | os.PathLike, signature: str, timeout: float
) -> dict[str, Any]:
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {error.strerror}.") from None
    picture = base64.b64encode(content).decode()
    request = {"signature_name": signature, "instances": [{"b64": picture}]}
    try:
        reply = session.post(f"{url.rstrip('/')}:predict", json=request, timeout=timeout)
    except requests.Timeout:
        raise TimeoutError(f"No answer about {path} from {url} within {timeout:g} s; is the server busy?") from None
    except requests.ConnectionError as error:
        raise ConnectionError(f"No server answers at {url} ({_reason(error)}); start one, or name another.") from None
    except requests.RequestException as error:
        raise ValueError(f"Cannot ask {url}: {_short(str(error))}") from None
    if reply.status_code != 200:
        raise ValueError(f"{url} refuses {path} with HTTP {reply.status_code}: {_short(_error_text(reply))}")
    return {"file": str(path), **_detection(reply, url)}


def _detection(reply: requests.Response, url: str) -> dict[str, Any]:
    """Returns the first detection of the first row."""
    try:
        row = reply.json()["predictions"][0]
        box, score, label, name = (row[key][0] for key in _OUTPUTS)
        result = {"box": [float(edge) for edge in box], "score": float(score), "class": int(label), "class_name": name}
        if len(box) != 4:
            raise ValueError("A box has four edges.")
    except (ValueError, KeyError, IndexError, TypeError):
        raise ValueError(
            f"Expected detections ({', '.join(_OUTPUTS)}) from {url}, but got {_short(reply.text)}; is it the model "
            "that ornet_tf.export wrote?"
        ) from None
    if "activation_map" in row:
        result["activation_map"] = row["activation_map"]
    return result


def _error_text(reply: requests.Response) -> str:
    try:
        return str(reply.json()["error"])
    except (ValueError, KeyError, TypeError):
        return reply.text


def _short(text: str) -> str:
    # A message may echo the whole picture that was sent.
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " ..."


def _reason(error: BaseException) -> str:
    """Returns the innermost reason of a failed connection, such as "Connection refused"."""
    inner: Any = error
    while True:
        below = getattr(inner, "reason", None) or inner.__cause__ or inner.__context__
        if not isinstance(below, BaseException):
            return _short(getattr(inner, "strerror", None) or str(inner))
        inner = below


def run(paths: Sequence[str], *, url: str, signature: str, timeout: float, output_dir: str) -> int:
    """Prints a JSON line per picture and returns how many failed; their lines hold an `error`.

    Raises:
      ConnectionError: if the server cannot be reached; the remaining pictures are left out.
      OSError: if `output_dir` cannot be made.
      ValueError: if the URL is none.
    """
    failed = 0
    taken = {pathlib.Path(path).resolve() for path in paths}
    if output_dir:
        pathlib.Path(output_dir).mkdir(parents=True, exist_ok=True)
    with _session(url) as session:
        for path in paths:
            line: dict[str, Any] = {"file": path}
            try:
                line.update(_ask(session, url, path, signature, timeout))
                line.pop("activation_map", None)
                if output_dir:
                    output = _free_path(pathlib.Path(output_dir), path, taken)
                    overlay.draw(path, line["box"], f"{line['class_name']} {line['score']:.2f}", output)
                    line["overlay"] = str(output)
            except ConnectionError:
                raise
            except (OSError, ValueError, Image.DecompressionBombError) as error:
                failed += 1
                line["error"] = str(error)
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
    return failed


def _free_path(folder: pathlib.Path, path: str, taken: set[pathlib.Path]) -> pathlib.Path:
    """Returns where a picture's overlay goes: never onto a picture that is asked about, nor onto another overlay."""
    stem = pathlib.Path(path).stem
    output = folder / f"{stem}_box.png"
    number = 2
    while output.resolve() in taken:
        output = folder / f"{stem}_box_{number}.png"
        number += 1
    taken.add(output.resolve())
    return output


def _define_flags() -> None:
    # Called by the script alone: another program that imports this module keeps its own flags.
    flags.DEFINE_string("url", DEFAULT_URL, "The model's URL, without :predict.")
    flags.DEFINE_string("output_dir", "", "Folder for the pictures with their boxes (PNG); empty for none.")
    flags.DEFINE_string("signature", "serving_default", "Signature to ask.")
    flags.DEFINE_float("timeout", 30, "Seconds to wait for an answer.", lower_bound=0.001)


def main(argv: Sequence[str]) -> None:
    """Asks about the pictures of the command line."""
    paths = argv[1:]
    if not paths:
        raise app.UsageError("Expected at least one picture: python -m serving.client IMAGE...")
    values = flags.FLAGS
    try:
        failed = run(
            paths,
            url=values.url,
            signature=values.signature,
            timeout=values.timeout,
            output_dir=values.output_dir,
        )
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")
    if failed:
        sys.exit(f"Error: {failed} of {len(paths)} pictures failed; their lines say why.")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
