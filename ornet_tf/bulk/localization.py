"""A run: finds the input, makes or compares the plan, has the missing parts localized, and reports."""
from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from absl import logging

from ornet_tf.bulk import cluster, export_version, inputs, output_folder, plan, report
from ornet_tf.bulk.output_folder import OutputFolder
from ornet_tf.bulk.worker import Job
from ornet_tf.errors import UserError

_MOST_FAILURES = 10  # parts that may fail, for example as a store does not answer, before the run stops
_SECONDS_BETWEEN_LINES = 30.0


class Options(NamedTuple):
    """The flags of the program `localize_many`, which describes them."""

    part_size: int = 1000
    batch_size: int = 32
    workers: int = 0
    gpus_per_worker: float | None = None
    address: str = ""
    image_field: str = ""
    key_field: str = ""


def run(export: str | os.PathLike, input: str, output: str, options: Options) -> dict[str, Any]:
    """Localizes the input with an export, continues an earlier run, and returns its report.

    Args:
      export: the folder of a version, on every machine of the cluster.
      input: see `inputs.find`.
      output: the folder of the shards, a path that all machines share, or a URI.
      options: see `Options`.

    Raises:
      MissingPackageError: if Ray is not installed.
      UserError: if something that the user gave is wrong, the cluster fails, or some parts fail.
      OSError: if a file can't be read or written.
    """
    cluster.check(options.address, options.gpus_per_worker)  # before the input is listed, which may take minutes
    folder = OutputFolder(output)
    export = os.path.abspath(export)
    found = inputs.find(input, options.part_size)
    made = plan.Plan(
        input, found.kind, found.digest, export_version.read(export), options.part_size, options.image_field,
        options.key_field, export_version.max_bytes(export), found.parts,
    )
    folder.create()
    with folder.locked():
        folder.remove_partial()
        plan.store(made, found.files, folder)
        done = folder.finished_parts(len(made.parts))
        missing = [number for number in range(len(made.parts)) if number not in done]
        logging.info("%s: %d parts of %s, %d to do.", folder.text, len(made.parts), made.kind, len(missing))
        if missing:
            _localize(Job(made, export, folder, options.batch_size, 1), missing, options)
        result = report.make(made, folder)
        report.write(result, folder)
        folder.remove_partial()
    logging.info("%s Report: %s/%s", report.as_text(result), folder.text, output_folder.REPORT)
    return result


def _localize(job: Job, missing: list[int], options: Options) -> None:
    with cluster.connected(options.address) as ray:
        chosen = cluster.layout(ray, min(options.workers, len(missing)), options.gpus_per_worker)
        chosen = chosen._replace(workers=min(chosen.workers, len(missing)))
        logging.info(
            "Workers: %d, each with %d threads and %g GPUs. They load the export, which takes up to a minute or two.",
            chosen.workers, chosen.threads, chosen.gpus,
        )  # fmt: skip
        answers = cluster.run(ray, job._replace(threads=chosen.threads), missing, chosen)
        with contextlib.closing(answers):  # an error leaves the loop early; the cluster must be there until then
            follow(answers, len(missing))


def follow(answers: Iterable[dict[str, Any]], parts: int) -> None:
    """Logs what the workers answer.

    Raises:
      UserError: if a part failed; at once if others would fail too.
    """
    begin = logged = time.monotonic()
    done = rows = 0
    failed: list[str] = []
    for answer in answers:
        if answer["error"]:
            logging.error("Part %d: %s", answer["part"], answer["error"])
            failed.append(answer["error"])
            if answer["is_fatal"]:
                raise UserError(answer["error"])
            if len(failed) > _MOST_FAILURES:
                break
            continue
        done, rows = done + 1, rows + answer["rows"]
        now = time.monotonic()
        if now - logged > _SECONDS_BETWEEN_LINES or done == parts:
            logged = now
            logging.info("%d of %d parts, %d rows, %.1f rows/s.", done, parts, rows, rows / max(now - begin, 1e-9))
    if failed:
        raise UserError(
            f"{len(failed)} of {parts} parts failed, such as: {failed[0]} Start the same command again; it does only "
            "what is missing."
        )
