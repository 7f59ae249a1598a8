"""A worker: loads the export once and localizes parts, one after the other. Ray calls it; it does not know Ray."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow

import ornet_tf
from ornet_tf.bulk import columns, export_version, report, rows, statuses
from ornet_tf.bulk.columns import Result
from ornet_tf.bulk.output_folder import MOST_ATTEMPTS, OutputFolder
from ornet_tf.bulk.plan import Plan
from ornet_tf.bulk.shard_rows import Row
from ornet_tf.errors import ImageRefusedError, UserError
from ornet_tf.inference.batches import Model
from ornet_tf.inference.detections import Detections

SIGNATURE = "serving_default"


class Job(NamedTuple):
    """What all workers of a run do.

    Attributes:
      plan: the plan of the run.
      export: the folder of the export's version, on every machine.
      output: where shards are written.
      batch_size: the largest number of images in a call of the export.
      threads: the threads of TensorFlow in each worker.
    """

    plan: Plan
    export: str
    output: OutputFolder
    batch_size: int
    threads: int


class _NotReadError(OSError):
    """The input of one part could not be read: the disk, the network or the store failed, perhaps for a moment."""


class Worker:
    """Localizes parts; the export is loaded with the first one."""

    def __init__(self, job: Job):
        self._job = job
        self._model: Model | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Localizes the part `row["part"]` and writes its shard.

        Returns:
          `part`, its number; `rows`, how many it has; `error`, a sentence, or "" if the shard is there; and `is_fatal`,
          whether other parts would fail too.
        """
        number = int(row["part"])
        answer = {"part": number, "rows": 0, "error": "", "is_fatal": False}
        try:
            return {**answer, "rows": self._localize(number)}
        except (OSError, UserError) as error:
            return {**answer, "error": str(error), "is_fatal": not isinstance(error, _NotReadError)}

    def _localize(self, number: int) -> int:
        job = self._job
        if job.output.count_attempt(number) > MOST_ATTEMPTS:
            raise UserError(
                f"Part {number} has ended its worker {MOST_ATTEMPTS} times; give workers more memory, or a smaller "
                "--batch_size, and start the same command again."
            )
        self._model = self._model or load(job)
        try:
            table = localize_part(self._model, job, number)
        except OSError as error:
            raise _NotReadError(str(error)) from error
        job.output.write_shard(number, len(job.plan.parts), table)
        return table.num_rows


def load(job: Job) -> Model:
    """Loads the export, for `job.threads` threads of TensorFlow; a GPU that is shared gives memory as it is needed.

    Raises:
      UserError: if the export on this machine is not there, does not load, or is not that of the plan.
    """
    try:
        version = export_version.read(job.export)
    except OSError as error:
        raise UserError(f"A worker cannot read the export: {error}.") from error
    if version != job.plan.model_version:
        raise UserError(
            f"Expected the export {job.plan.model_version} in {job.export} on every machine, but a worker found "
            f"{version}; copy the same files to all of them, or name a folder that they share."
        )
    import tensorflow as tf  # late: the program that starts workers does not need it

    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    return ornet_tf.load(job.export)


def localize_part(model: Model, job: Job, number: int) -> pyarrow.Table:
    """Returns the rows of a part as a table of `columns.SCHEMA`. One or two batches of images are in memory.

    Raises:
      OSError: if the input can't be read.
      UserError: if the export fails.
    """
    results: list[Result] = []
    read = 0
    for batch in rows.batches(rows.read(job.plan, number, job.output), job.batch_size):
        read += len(batch)
        results += localize(model, batch)
    return report.with_rows_read(columns.table(results, job.plan.model_version), read)


def localize(model: Model, batch: Sequence[Row]) -> list[Result]:
    """Returns what each row becomes, in order. A row that the export refuses affects no other row.

    Raises:
      UserError: if the export fails for another reason, such as too little memory.
    """
    answers = iter(_ask(model, [row.content for row in batch if row.content is not None]))
    results = []
    for row in batch:
        if row.content is None:
            results.append(Result(row.path, row.key, None, row.status, row.reason))
            continue
        answer = next(answers)
        if isinstance(answer, ImageRefusedError):
            results.append(Result(row.path, row.key, None, statuses.REFUSED, str(answer)))
        else:
            results.append(Result(row.path, row.key, answer, statuses.of_reason(answer.status), answer.status))
    return results


def _ask(model: Model, images: Sequence[bytes]) -> list[Detections | ImageRefusedError]:
    if not images:
        return []
    try:
        return model.localize(images, signature=SIGNATURE, batch_size=len(images))
    except ImageRefusedError as error:  # an export from before `status` fails for all
        return [error] if len(images) == 1 else [_ask(model, [image])[0] for image in images]
