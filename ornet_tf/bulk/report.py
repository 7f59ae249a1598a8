"""The counts of a run: each row that was read is in the output once, or the run has failed."""
from __future__ import annotations

import collections
import concurrent.futures
import json
from typing import Any

import pyarrow
from pyarrow import parquet

from ornet_tf.bulk import columns, inputs, output_folder, statuses
from ornet_tf.bulk.output_folder import OutputFolder
from ornet_tf.bulk.plan import Plan
from ornet_tf.errors import UserError

_ROWS_READ = b"ornet_tf.rows_read"
_COLUMNS = pyarrow.schema([columns.SCHEMA.field(name) for name in ("path", "status", "boxes")])
_THREADS = 16  # readers of shards; each mostly waits


def with_rows_read(table: pyarrow.Table, rows: int) -> pyarrow.Table:
    """Returns the table of a part with the number of rows that were read from the input."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _ROWS_READ: b"%d" % rows})


def make(plan: Plan, folder: OutputFolder) -> dict[str, Any]:
    """Reads all shards and returns the content of report.json.

    Raises:
      UserError: if a shard is missing or damaged, or the numbers do not add up.
      OSError: if a shard can't be read.
    """
    numbers = range(len(plan.parts))
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda number: _count(plan, number, folder), numbers))
    counts = sum((of_part for of_part, _ in found), collections.Counter())
    refused = {status: counts[status] for status in statuses.REFUSALS if counts[status]}
    report = {
        "rows_in": counts["rows_in"],
        "rows_out": counts["rows_out"],
        "with_box": counts["with_box"],
        "without_object": counts["without_object"],
        "refused": sum(refused.values()),
        "refused_by_reason": refused,
        "damaged_shards": sorted({path for _, of_part in found for path in of_part}),
        "parts": len(plan.parts),
        "input": plan.input,
        "model_version": plan.model_version,
    }
    out = report["with_box"] + report["without_object"] + report["refused"]
    if not report["rows_in"] == report["rows_out"] == out:
        raise UserError(
            f"Expected a row in {folder.text} for each of {report['rows_in']} rows of the input, but {out} of "
            f"{report['rows_out']} have a known status; name another --output and start again."
        )
    return report


def _count(plan: Plan, number: int, folder: OutputFolder) -> tuple[collections.Counter, set[str]]:
    """Returns the counts of a part, and the paths of its damaged shards."""
    name = output_folder.shard_name(number, len(plan.parts))
    then = f"remove it from {folder.text}/{output_folder.DETECTIONS} and start the same command again"
    content = folder.read(f"{output_folder.DETECTIONS}/{name}")
    if content is None:
        raise UserError(f"Expected the shard {name}, but it is gone; start the same command again.")
    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(content))
        rows_in = int((file.schema_arrow.metadata or {}).get(_ROWS_READ, -1))
        table = file.read(columns=_COLUMNS.names).cast(_COLUMNS)
        found, paths = table["status"].to_pylist(), table["path"].to_pylist()
        boxes = table["boxes"].combine_chunks().value_lengths().to_pylist()
    except inputs.PARQUET_DAMAGE as error:
        reason = " ".join(str(error).split())
        raise UserError(f"Expected a readable shard {name}, but it is damaged ({reason}); {then}.") from None
    planned = plan.parts[number].rows
    if planned not in (-1, len(found)):
        raise UserError(f"Expected {planned} rows in {name}, but it has {len(found)}; {then}.")
    if rows_in != len(found):
        noted = "nothing" if rows_in < 0 else rows_in
        raise UserError(f"Expected {name} to note {len(found)} rows of the input, but it notes {noted}; {then}.")
    counts = collections.Counter(rows_in=rows_in, rows_out=len(found))
    for status, objects in zip(found, boxes):
        is_ok = status == statuses.OK
        counts[("with_box" if objects else "without_object") if is_ok else status] += 1
    return counts, {path for path, status in zip(paths, found) if status == statuses.DAMAGED_SHARD}


def write(report: dict[str, Any], folder: OutputFolder) -> None:
    """Writes report.json.

    Raises:
      OSError: if that fails.
    """
    folder.write(output_folder.REPORT, (json.dumps(report, indent=1) + "\n").encode())


def as_text(report: dict[str, Any]) -> str:
    """Returns the report as a sentence for the log."""
    reasons = ", ".join(f"{count} {status}" for status, count in report["refused_by_reason"].items())
    reasons = f" ({reasons}; see the column status)" if reasons else ""
    damaged = len(report["damaged_shards"])
    unread = f" Damaged shards, whose further rows may not have been read: {damaged}." if damaged else ""
    return (
        f"{report['rows_in']} rows in, {report['rows_out']} rows out: {report['with_box']} with a box, "
        f"{report['without_object']} without an object, {report['refused']} refused{reasons}.{unread}"
    )
