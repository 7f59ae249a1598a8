"""Asks a model where the objects are: prints one JSON line per picture and draws the boxes.

    python -m serving.client bird.jpg --url=http://127.0.0.1:8501/v1/models/ornet --output_dir=boxes

Works with TensorFlow Serving (REST, and gRPC where tensorflow-serving-api is installed), with `serving.local_server`,
and with the folder of an export, without any server. Over REST it needs no TensorFlow.
"""
from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

import tqdm
from absl import app, flags

from ornet_tf.errors import UserError
from ornet_tf.inference import encoding
from ornet_tf.inference.detections import Detections
from ornet_tf.paths import file_name, readable
from serving import addresses, batches, overlay
from serving.errors import PictureRefusedError
from serving.rest_client import RestModel
from serving.retries import Retries


def connect(address: str, *, timeout: float = 30.0, retries: Retries | None = None) -> batches.Model:
    """Returns the model at an address; its method `localize` asks it, `close` ends the connection.

    Args:
      address: one of
        http(s)://HOST:PORT/v1/models/NAME, after which /versions/N or /labels/LABEL may follow;
        grpc://HOST[:PORT]/NAME, after which /versions/N may follow, but no label;
        the folder of an export (a version, or the folder above, which stands for its newest version).
        Which version is asked where none is named, the server decides.
      timeout: seconds for one attempt.
      retries: how often and how long to try; None for the defaults.

    Raises:
      MissingPackageError: if it is a gRPC address and tensorflow-serving-api is not installed.
      UserError: if it is no address, or the export does not load.
      FileNotFoundError: if the folder holds no export.
    """
    kind = addresses.kind(address)
    if kind == "rest":
        return RestModel(address, timeout=timeout, retries=retries)
    # These two import TensorFlow.
    if kind == "grpc":
        from serving.grpc_client import GrpcModel

        return GrpcModel(address, timeout=timeout, retries=retries)
    from ornet_tf.inference import loaded

    return loaded.load(address)


def localize(
    address: str,
    images: Sequence[encoding.ImageInput],
    *,
    signature: str = "serving_default",
    timeout: float = 30.0,
    retries: Retries | None = None,
) -> list[Detections]:
    """Returns what the model at an address finds in each picture, in order.

    Args:
      address: see `connect`.
      images: paths or bytes of JPEG or PNG files, or RGB uint8 [H, W, 3]; any number of them.
      signature: `serving_default`, `localize` (boxes only), `activation_map` or `activation_map_float`.
      timeout: seconds for one attempt.
      retries: how often and how long to try; None for the defaults.

    Raises:
      OSError: if a picture cannot be read (FileNotFoundError and so on).
      ConnectionError: if the server cannot be reached.
      TimeoutError: if it does not answer in time.
      PictureRefusedError: a UserError, if it refuses a picture (an export of before `status` does so).
      UserError: if it refuses for another reason, or answers with something else than detections.
      MissingPackageError: see `connect`.
      TypeError: if `images` is one picture instead of a list, or something in it is no picture.
    """
    encoding.check_is_list(images)
    model = connect(address, timeout=timeout, retries=retries)
    results = []
    try:
        for image, answer in zip(images, batches.localize_each(model, images, signature=signature)):
            if isinstance(answer, PictureRefusedError):
                name = image if isinstance(image, (str, os.PathLike)) else f"picture {len(results) + 1}"
                raise PictureRefusedError(f"{name}: {answer}")
            if isinstance(answer, Exception):
                raise answer
            results.append(answer)
    finally:
        model.close()
    return results


def run(
    paths: Sequence[str],
    model: batches.Model,
    *,
    signature: str = "serving_default",
    output_dir: str = "",
    batch_size: int = 8,
    in_flight: int = 4,
) -> int:
    """Prints a JSON line per picture and returns how many failed; their lines hold an `error`.

    Raises:
      ConnectionError: if the server cannot be reached; the remaining pictures are left out.
      OSError: if `output_dir` cannot be made.
      UserError: if `batch_size` or `in_flight` is below 1.
    """
    failed = 0
    taken = {os.path.realpath(path) for path in paths} if output_dir else set()
    if output_dir:
        pathlib.Path(output_dir).mkdir(parents=True, exist_ok=True)
    answers = batches.localize_each(model, paths, signature=signature, batch_size=batch_size, in_flight=in_flight)
    # None: a bar where stderr is a terminal.
    with tqdm.tqdm(total=len(paths), unit="image", disable=None, dynamic_ncols=True) as progress:
        for path, answer in zip(paths, answers):
            if isinstance(answer, ConnectionError):
                raise answer
            line = {"file": readable(path), **_entry(path, answer, output_dir, taken)}
            failed += "error" in line
            with progress.external_write_mode(sys.stdout):
                sys.stdout.write(json.dumps(line) + "\n")
                sys.stdout.flush()  # whatever happens later, this line is written
            progress.update()
    return failed


def _entry(path: str, answer: batches.Answer, output_dir: str, taken: set[str]) -> dict[str, Any]:
    if isinstance(answer, Exception):
        return {"error": str(answer)}
    if answer.status:
        return {"error": f"The model cannot read it: {answer.status}."}
    entry = answer.as_dict()
    if output_dir:
        text = f"{entry['class_name']} {entry['score']:.2f}" if "score" in entry else ""
        output = _free_path(pathlib.Path(output_dir), path, taken)
        try:
            overlay.draw(path, answer.boxes, text, output)
        except OSError as error:
            return {**entry, "error": f"No overlay: {error}"}
        entry["overlay"] = readable(output)
    return entry


def _free_path(folder: pathlib.Path, path: str, taken: set[str]) -> pathlib.Path:
    """Returns where a picture's overlay goes: never onto a picture that is asked about, nor onto another overlay."""
    stem = pathlib.Path(path).stem
    output = folder / file_name(stem, "_box.png")
    number = 2
    while os.path.realpath(output) in taken:
        output = folder / file_name(stem, f"_box_{number}.png")
        number += 1
    taken.add(os.path.realpath(output))
    return output


def _define_flags() -> None:
    # Called by the script alone: another program that imports this module keeps its own flags.
    flags.DEFINE_string(
        "url",
        addresses.DEFAULT_URL,
        "The model: a URL without :predict, grpc://HOST:PORT/NAME, or the folder of an export.",
    )
    flags.DEFINE_string("output_dir", "", "Folder for the pictures with their boxes (PNG); empty for none.")
    flags.DEFINE_string("signature", "serving_default", "Signature to ask.")
    flags.DEFINE_float("timeout", 30, "Seconds for one attempt.", lower_bound=0.001)
    flags.DEFINE_integer("attempts", 5, "Most attempts for one answer.", lower_bound=1)
    flags.DEFINE_float("deadline", 120, "Seconds for all attempts for one answer.", lower_bound=0.001)
    flags.DEFINE_integer("batch_size", 8, "Most pictures in a request.", lower_bound=1)
    flags.DEFINE_integer("in_flight", 4, "Most requests at once.", lower_bound=1)


def _run_flags(paths: Sequence[str], values: flags.FlagValues) -> int:
    retries = Retries(attempts=values.attempts, deadline=values.deadline)
    model = connect(values.url, timeout=values.timeout, retries=retries)
    try:
        return run(
            paths,
            model,
            signature=values.signature,
            output_dir=values.output_dir,
            batch_size=values.batch_size,
            in_flight=values.in_flight,
        )
    finally:
        model.close()


def main(argv: Sequence[str]) -> None:
    """Asks about the pictures of the command line."""
    paths = argv[1:]
    if not paths:
        raise app.UsageError("Expected at least one picture: python -m serving.client IMAGE...")
    try:
        failed = _run_flags(paths, flags.FLAGS)
    except (OSError, UserError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: the lines that are written are whole; the other pictures have none.\n")
        # As the signal alone would have ended the program: a request under way would hold up a usual exit.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    if failed:
        sys.exit(f"Error: {failed} of {len(paths)} pictures failed; their lines say why.")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
