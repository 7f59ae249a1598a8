"""Many pictures to one model: batches, several at once, answers in order, little of it in memory."""
from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from ornet_tf.errors import UserError
from ornet_tf.inference import encoding
from ornet_tf.inference.detections import Detections
from serving.errors import PictureRefusedError

# A batch is full at this many bytes of files, so that large pictures are sent by ones and twos.
_BATCH_BYTES = 8 * 2**20

Answer = Detections | Exception


class Model(Protocol):
    """What is asked: `RestModel`, `GrpcModel`, `ornet_tf.inference.loaded.LoadedModel`. Usable from several threads."""

    def localize(self, images: Sequence[encoding.ImageInput], *, signature: str) -> list[Detections]:
        """Finds the objects in each picture."""

    def close(self) -> None:
        """Lets go of connections."""


def localize_each(
    model: Model, images: Iterable[encoding.ImageInput], *, signature: str, batch_size: int = 8, in_flight: int = 4
) -> Iterator[Answer]:
    """Yields what the model finds in each picture, in order, or the error that this picture costs.

    Files are read when their batch is sent. In memory are the pictures of at most `in_flight` batches, and the answers
    of twice as many.

    Args:
      model: asked by several threads at once.
      images: paths or bytes of JPEG or PNG files, or RGB uint8 [H, W, 3]; taken as they are needed.
      signature: the one to ask.
      batch_size: the most pictures in a request; large ones are sent in smaller batches.
      in_flight: the most requests at once.

    Raises:
      UserError: if a number is below 1.
    """
    for name, value in (("batch_size", batch_size), ("in_flight", in_flight)):
        if value < 1:
            raise UserError(f"Expected {name} of at least 1, but got {value}.")
    waiting: collections.deque[concurrent.futures.Future[list[Answer]]] = collections.deque()
    pool = concurrent.futures.ThreadPoolExecutor(in_flight, thread_name_prefix="batch")
    try:
        for batch in _batches(images, batch_size):
            # One slow answer holds up the order, not the others.
            if len(waiting) == 2 * in_flight:
                yield from waiting.popleft().result()
            waiting.append(pool.submit(_answers, model, batch, signature))
        while waiting:
            yield from waiting.popleft().result()
    finally:
        # Without waiting: whoever stops early, by an error or Ctrl-C, is not held up by requests under way.
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


def _answers(model: Model, batch: Sequence[encoding.ImageInput], signature: str) -> list[Answer]:
    answers: dict[int, Answer] = {}
    encoded: dict[int, bytes] = {}
    for i, image in enumerate(batch):
        try:
            encoded[i] = encoding.encode(image)
        except (OSError, TypeError, ValueError) as error:
            answers[i] = error
    answers.update(zip(encoded, _ask(model, list(encoded.values()), signature)))
    return [answers[i] for i in range(len(batch))]


def _ask(model: Model, encoded: Sequence[bytes], signature: str) -> list[Answer]:
    try:
        return list(model.localize(encoded, signature=signature))
    except PictureRefusedError as error:
        if len(encoded) == 1:
            return [error]
        # One of them may be the reason, and the request may have been too large for the server.
        return [answer for one in encoded for answer in _ask(model, [one], signature)]
    except (OSError, UserError) as error:
        return [error] * len(encoded)
