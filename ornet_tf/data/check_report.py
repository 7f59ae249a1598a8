"""Makes the report on a data set: what is wrong with its images, boxes and masks."""
from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ornet_tf.data import box_check, image_store, loading, masks
from ornet_tf.data.source import SPLITS, Encoded, MissingSplit, Record, Source, read_encoded
from ornet_tf.errors import UserError

_SHOWN = 20  # rows of each list in the text; JSON has all


def check_splits(
    config: ConfigDict, splits: Iterable[str] = SPLITS, *, duplicates: bool = False, headers_only: bool = False
) -> dict[str, Any]:
    """Loads splits of the configured data set, decodes every image and checks boxes and masks against image sizes.

    Args:
      config: the whole configuration.
      splits: names of splits; a split that the data set lacks is no problem.
      duplicates: whether to search for files of the same content in different splits.
      headers_only: whether to read only the headers of the files.

    Returns:
      "dataset", its name; "splits", for each the result of `examine_split`, or {"missing": reason} or
      {"error": reason}; "problems", the number of problems; with `duplicates` also "duplicates", the result of
      `find_duplicates`.
    """
    report: dict[str, Any] = {"dataset": config.dataset.name, "splits": {}, "problems": 0}
    sources = {}
    for split in splits:
        try:
            sources[split] = loading.load_source(config, split)
            report["splits"][split] = examine_split(sources[split], headers_only=headers_only)
        except MissingSplit as error:
            report["splits"][split] = {"missing": str(error)}
        except (UserError, OSError) as error:
            report["splits"][split] = {"error": str(error)}
    if duplicates:
        report["duplicates"] = find_duplicates(sources)
    report["problems"] = sum(map(_count_problems, report["splits"].values())) + len(report.get("duplicates", ()))
    return report


def examine_split(source: Source, *, headers_only: bool = False) -> dict[str, Any]:
    """Decodes every image and mask of a split and checks boxes and masks against the image sizes.

    Args:
      source: the split.
      headers_only: whether to read only the headers; damage behind them is then not found.

    Returns:
      "images" and "classes", their numbers; "smallest" and "largest", the "class" with the fewest and most "images";
      "broken", the "name" and "reason" of each image that can't be used; "boxes", the result of `box_check.examine`,
      and "masks", that of `masks.examine`, or None where the split has none.
    """
    sizes, broken, _ = image_store.measure(source, headers_only=headers_only)
    counts = np.bincount(source.labels, minlength=len(source.class_names))
    return {
        "images": len(source),
        "classes": len(source.class_names),
        **{
            key: {"class": source.class_names[index], "images": int(counts[index])}
            for key, index in (("smallest", counts.argmin()), ("largest", counts.argmax()))
        },
        "broken": [{"name": name, "reason": reason} for name, reason in broken],
        "boxes": None if source.boxes is None else box_check.examine(source, sizes),
        "masks": None if source.masks is None else masks.examine(source, sizes, headers_only=headers_only),
    }


def find_duplicates(sources: Mapping[str, Source]) -> list[list[str]]:
    """Returns for each file content that different splits share the list of its images, as "split/name"."""
    files = [(split, name, i) for split, source in sources.items() for name, i in zip(source.names, source.images)]
    groups: list[list[tuple[str, str, Encoded]]] = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        # Lengths first: a file whose length is unique need not be read.
        for key in (_length, _digest):
            by_key = collections.defaultdict(list)
            for file, value in zip(files, pool.map(key, [image for _, _, image in files])):
                by_key[value].append(file)
            groups = [group for value, group in by_key.items() if value is not None and len({f[0] for f in group}) > 1]
            files = [file for group in groups for file in group]
    return [[f"{split}/{name}" for split, name, _ in group] for group in groups]


def _length(image: Encoded) -> int | None:
    """Returns the length of a file in bytes; None if it can't be read: `examine_split` reports that."""
    if isinstance(image, Record):
        return image.length
    try:
        return len(image) if isinstance(image, bytes) else os.path.getsize(image)
    except OSError:
        return None


def _digest(image: Encoded) -> bytes | None:
    try:
        return hashlib.sha256(read_encoded(image)).digest()
    except OSError:
        return None


def _count_problems(split: Mapping[str, Any]) -> int:
    lists = [(split, "broken")]
    lists += [(split.get("boxes") or {}, key) for key in ("no_area", "outside")]
    lists += [(split.get("masks") or {}, key) for key in ("broken", "wrong_size", "empty")]
    return ("error" in split) + sum(len(findings.get(key, ())) for findings, key in lists)


def as_text(report: Mapping[str, Any]) -> str:
    """Returns a report of `check_splits` as text."""
    lines = [f"Data set: {report['dataset']}"]
    for split, findings in report["splits"].items():
        if "images" not in findings:
            lines += ["", f"{split}: {findings.get('missing') or 'Error: ' + findings['error']}"]
            continue
        ends = [f"{key} {findings[key]['class']!r} with {findings[key]['images']}" for key in ("smallest", "largest")]
        lines += ["", f"{split}: {findings['images']} images, {findings['classes']} classes ({', '.join(ends)})"]
        title = "files that cannot be used" if findings["broken"] else "every file can be read"
        lines += _list_rows(title, _reasons(findings["broken"]))
        lines += _box_lines(findings["boxes"], findings["images"])
        lines += _mask_lines(findings["masks"], findings["images"])
    if "duplicates" in report:
        rows = [" = ".join(group) for group in report["duplicates"]]
        lines += ["", *_list_rows("images in several splits", rows, indent="")]
    lines += ["", f"{report['problems'] or 'No'} {'problem' if report['problems'] == 1 else 'problems'}."]
    return "\n".join(lines) + "\n"


def _box_lines(findings: Mapping[str, Any] | None, images: int) -> list[str]:
    if findings is None:
        return ["  no boxes"]
    lists = {
        "boxes without area": [box_check.describe(entry) for entry in findings["no_area"]],
        "boxes outside their image": [box_check.describe(entry) for entry in findings["outside"]],
        "images without a box": findings["without"],
    }
    first = f"  {findings['boxes']} boxes in {images - len(findings['without'])} of {images} images"
    return [first, *_list_findings(lists)]


def _mask_lines(findings: Mapping[str, Any] | None, images: int) -> list[str]:
    if findings is None:
        return ["  no masks"]
    lists = {
        "masks that cannot be used": _reasons(findings["broken"]),
        "masks of another size than their image": [
            f"{entry['name']}: {masks.describe_sizes(entry)}" for entry in findings["wrong_size"]
        ],
        "masks without object (no pixel is brighter than half of the range)": findings["empty"],
        "images without a mask": findings["without"],
    }
    return [f"  {findings['masks']} of {images} images have a mask", *_list_findings(lists)]


def _reasons(broken: Iterable[Mapping[str, str]]) -> list[str]:
    return [f"{entry['name']}: {entry['reason']}" for entry in broken]


def _list_findings(lists: Mapping[str, list[str]]) -> list[str]:
    return [line for title, rows in lists.items() if rows for line in _list_rows(title, rows)]


def _list_rows(title: str, rows: list[str], indent: str = "  ") -> list[str]:
    """Returns a title with the number of rows, then at most `_SHOWN` of them."""
    if not rows:
        return [f"{indent}{title}" if indent else f"{title}: none"]
    more = [f"{indent}  and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []
    return [f"{indent}{title}: {len(rows)}", *(f"{indent}  {row}" for row in rows[:_SHOWN]), *more]
