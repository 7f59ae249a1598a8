"""Localizes objects with a served model: prints one JSON line per image and draws the boxes.

    python -m serving.client bird.jpg --url=http://127.0.0.1:8501/v1/models/ornet --output_dir=boxes

It works with TensorFlow Serving (REST, and gRPC if tensorflow-serving-api is installed), with `serving.local_server`,
and with the folder of an export, without a server. Over REST it needs no TensorFlow.
"""
from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence

import tqdm
from absl import app, flags

from ornet_tf.errors import ImageRefusedError, UserError
from ornet_tf.inference import batches, encoding, localize_files, prediction_files
from ornet_tf.inference.detections import Detections
from serving import addresses
from serving.rest_client import RestModel


def connect(address: str, *, timeout: float = 30.0, attempts: int = 5) -> batches.Model:
    """Returns the model at an address. Its method `localize` asks it, `close` ends the connection.

    Args:
      address: one of
        http(s)://HOST:PORT/v1/models/NAME, after which /versions/N or /labels/LABEL may follow;
        grpc://HOST[:PORT]/NAME, after which /versions/N may follow, but no label;
        the folder of an export: a version, or the folder above, which stands for its newest version.
        If no version is named, the server chooses.
      timeout: seconds to wait for the server; see `RestModel` and `GrpcModel`. An export has no such limit.
      attempts: the largest number of attempts for one answer.

    Raises:
      MissingPackageError: if it is a gRPC address and tensorflow-serving-api is not installed.
      UserError: if it is no address, the export does not load, or a number is out of range.
      FileNotFoundError: if the folder holds no export.
    """
    kind = addresses.kind(address)
    if kind == "rest":
        return RestModel(address, timeout=timeout, attempts=attempts)
    # The other two import TensorFlow.
    if kind == "grpc":
        from serving.grpc_client import GrpcModel

        return GrpcModel(address, timeout=timeout, attempts=attempts)
    from serving import loaded

    return loaded.load(address)


def localize(
    address: str,
    images: Sequence[encoding.ImageInput],
    *,
    signature: str = "serving_default",
    timeout: float = 30.0,
    attempts: int = 5,
) -> list[Detections]:
    """Finds the objects in images, in batches.

    Args:
      address: see `connect`.
      images: paths or bytes of JPEG or PNG files, or RGB uint8 [H, W, 3].
      signature: the signature to ask; it must take encoded images.
      timeout: see `connect`.
      attempts: see `connect`.

    Returns:
      One result per image, in order. An image that cannot be decoded has a `status` and no objects.

    Raises:
      OSError: if a file cannot be read.
      ConnectionError: if the server cannot be reached.
      TimeoutError: if the server does not answer in time.
      ImageRefusedError: a UserError, if the server refuses an image (exports from before `status` do so).
      UserError: if the server refuses for another reason, or does not answer with detections.
      MissingPackageError: see `connect`.
      TypeError: if `images` is one image instead of a list, or something in it is not an image.
    """
    encoding.check_is_list(images)
    results = []
    with contextlib.closing(connect(address, timeout=timeout, attempts=attempts)) as model:
        for image, answer in zip(images, batches.localize_each(model, images, signature=signature)):
            if isinstance(answer, ImageRefusedError):
                name = image if isinstance(image, (str, os.PathLike)) else f"image {len(results) + 1}"
                raise ImageRefusedError(f"{name}: {answer}")
            if isinstance(answer, Exception):
                raise answer
            results.append(answer)
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
    """Prints a JSON line per image (see `ornet_tf.inference.localize_files`) and returns how many failed.

    Raises:
      ConnectionError: if the server cannot be reached; the remaining images have no line.
      OSError: if a result cannot be written to `output_dir`.
      UserError: if `batch_size` or `in_flight` is below 1.
    """
    paths = prediction_files.without_overlays(paths, output_dir) if output_dir else paths
    options = {"batch_size": batch_size, "in_flight": in_flight}
    entries = localize_files.localize_files(model, paths, signature=signature, folder=output_dir, **options)
    failed = 0
    # disable=None shows the bar only if stderr is a terminal.
    with (
        contextlib.closing(entries),
        tqdm.tqdm(total=len(paths), unit="image", disable=None, dynamic_ncols=True) as progress,
    ):
        for entry in entries:
            failed += "error" in entry
            with progress.external_write_mode(sys.stdout):
                sys.stdout.write(json.dumps(entry) + "\n")
                sys.stdout.flush()  # this line stays, whatever happens later
            progress.update()
    return failed


def _define_flags() -> None:
    # Only the script calls this: another program that imports this module keeps its own flags.
    flags.DEFINE_string(
        "url",
        addresses.DEFAULT_URL,
        "The model: a URL without :predict, grpc://HOST:PORT/NAME, or the folder of an export.",
    )
    flags.DEFINE_string("output_dir", "", "Folder for overlays and predictions.json; empty for none.")
    flags.DEFINE_string("signature", "serving_default", "Signature to ask.")
    flags.DEFINE_float("timeout", 30, "Seconds to wait for the server.", lower_bound=0.001)
    flags.DEFINE_integer("attempts", 5, "Most attempts for one answer.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 8, "Most images in a request.", lower_bound=1)
    flags.DEFINE_integer("in_flight", 4, "Most requests at once.", lower_bound=1)


def _run_flags(paths: Sequence[str], values: flags.FlagValues) -> int:
    with contextlib.closing(connect(values.url, timeout=values.timeout, attempts=values.attempts)) as model:
        return run(
            paths,
            model,
            signature=values.signature,
            output_dir=values.output_dir,
            batch_size=values.batch_size,
            in_flight=values.in_flight,
        )


def main(argv: Sequence[str]) -> None:
    """Asks about the images of the command line."""
    paths = argv[1:]
    if not paths:
        raise app.UsageError("Expected at least one image: python -m serving.client IMAGE...")
    try:
        failed = _run_flags(paths, flags.FLAGS)
    except (OSError, UserError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: the printed lines are complete; the other images have none.\n")
        # The usual exit would wait for running requests. The signal's own effect ends the program at once.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    if failed:
        sys.exit(f"Error: {failed} of {len(paths)} images failed; their lines say why.")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
