"""Sends many images to one model: in batches, several at once, with answers in order. Few images are in memory."""
from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from ornet_tf.errors import ImageRefusedError, UserError
from ornet_tf.inference import encoding
from ornet_tf.inference.detections import Detections

# A batch is full when its files have this many bytes, so few large images are sent at once.
_BATCH_BYTES = 8 * 2**20

Answer = Detections | Exception


class Model(Protocol):
    """A model that several threads may ask: `RestModel`, `GrpcModel`, `LoadedModel` of serving/, or a run's own."""

    def localize(self, images: Sequence[encoding.ImageInput], *, signature: str) -> list[Detections]:
        """Finds the objects in each image.

        A model that can use the known classes of images also takes `classes`, integers in the order of `images`.
        """

    def close(self) -> None:
        """Closes connections."""


def localize_each(
    model: Model,
    images: Iterable[encoding.ImageInput],
    *,
    signature: str,
    batch_size: int = 8,
    in_flight: int = 4,
    max_bytes: int | None = None,
    finish: Callable[[bytes, Detections], Any] | None = None,
    classes: Sequence[int] | None = None,
) -> Iterator[Any]:
    """Yields the detections in each image, in order, or the error of that image.

    Files are read when their batch is sent. The images of at most `in_flight` batches and the answers of twice as many
    are in memory.

    Args:
      model: the model; it must be thread-safe.
      images: paths or bytes of JPEG or PNG files, or RGB uint8 [H, W, 3]; taken from the iterator when needed.
      signature: the signature to ask.
      batch_size: the largest number of images in a request; large images are sent in smaller batches.
      in_flight: the largest number of requests at once.
      max_bytes: larger files are errors and are not read; None for no limit.
      finish: gets the file and the detections of an image, in the thread that has asked; what it returns is yielded
        instead of the detections. This way, few files and decoded images are in memory. None yields the detections.
      classes: the known class of each image, which the model's `localize` gets as `classes`; None if they are unknown.

    Raises:
      UserError: if a number is below 1.
    """
    for name, value in (("batch_size", batch_size), ("in_flight", in_flight)):
        if value < 1:
            raise UserError(f"Expected {name} of at least 1, but got {value}.")
    ask = functools.partial(_answers, model, signature=signature, max_bytes=max_bytes, finish=finish)
    waiting: collections.deque[Future[list[Any]]] = collections.deque()
    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="batch")
    sent = 0
    try:
        for batch in _batches(images, batch_size):
            # A slow answer delays the yielding of later ones, but not their requests.
            if len(waiting) == 2 * in_flight:
                yield from waiting.popleft().result()
            of_batch = None if classes is None else classes[sent : sent + len(batch)]
            waiting.append(pool.submit(ask, batch, of_batch))
            sent += len(batch)
        while waiting:
            yield from waiting.popleft().result()
    finally:
        # No waiting: an error or Ctrl-C ends the loop at once, even while requests are running.
        pool.shutdown(wait=False, cancel_futures=True)


def _batches(images: Iterable[encoding.ImageInput], batch_size: int) -> Iterator[list[encoding.ImageInput]]:
    batch, total = [], 0
    for image in images:
        size = encoding.encoded_size(image)
        if batch and (len(batch) == batch_size or total + size > _BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(image)
        total += size
    if batch:
        yield batch


def _answers(
    model: Model,
    batch: Sequence[encoding.ImageInput],
    classes: Sequence[int] | None,
    *,
    signature: str,
    max_bytes: int | None,
    finish: Callable[[bytes, Detections], Any] | None,
) -> list[Any]:
    answers: dict[int, Any] = {}
    encoded: dict[int, bytes] = {}
    for i, image in enumerate(batch):
        try:
            encoded[i] = encoding.encode(image, max_bytes=max_bytes)
        except (OSError, TypeError, ValueError, MemoryError) as error:
            answers[i] = error
    known = {} if classes is None else {"classes": [classes[i] for i in encoded]}
    for i, answer in zip(encoded, _ask(model, list(encoded.values()), signature, **known)):
        answers[i] = answer if finish is None or isinstance(answer, Exception) else finish(encoded[i], answer)
    return [answers[i] for i in range(len(batch))]


def _ask(model: Model, encoded: Sequence[bytes], signature: str, **known: Sequence[int]) -> list[Answer]:
    if not encoded:
        return []
    try:
        return list(model.localize(encoded, signature=signature, **known))
    except ImageRefusedError as error:
        if len(encoded) == 1:
            return [error]
        # One image may be the reason, or the request was too large for the server.
        return [
            answer
            for i, one in enumerate(encoded)
            for answer in _ask(model, [one], signature, **{name: values[i : i + 1] for name, values in known.items()})
        ]
    except (OSError, UserError) as error:
        return [error] * len(encoded)
