"""The report on a data set: what is wrong with its images, boxes and masks."""
from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ornet_tf.data import box_check, image_store, loading, masks
from ornet_tf.data.source import SPLITS, MissingSplit, Source
from ornet_tf.errors import UserError

_SHOWN = 20  # names of each list in the text; JSON has all


def check_splits(
    config: ConfigDict, splits: Iterable[str] = SPLITS, *, duplicates: bool = False, headers_only: bool = False
) -> dict[str, Any]:
    """Loads splits of the configured data set, decodes every image and compares boxes and masks with sizes.

    Args:
      config: the whole configuration.
      splits: names of splits; one that the data set lacks is no problem.
      duplicates: whether to compare the content of the files of different splits, too.
      headers_only: whether to read the files' headers alone.

    Returns:
      "dataset", its name; "splits", for each what `look_at` returns, or {"missing": why} or {"error": why}; "problems",
      their number; and "duplicates", lists of "split/name" of the same content, if asked for.
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
    report["problems"] = sum(map(_problems, report["splits"].values())) + len(report.get("duplicates", ()))
    return report


def examine_split(source: Source, *, headers_only: bool = False) -> dict[str, Any]:
    """Decodes every image and mask of a split and compares boxes and masks with the images' sizes.

    Args:
      source: the split.
      headers_only: whether to read the headers alone: what is damaged behind them is not found.

    Returns:
      "images" and "classes", their numbers; "smallest" and "largest" class with their images; "broken", a name and
      reason each; "boxes", None where the split has none, else what `box_check.look_at` returns; "masks", None where
      the split has none, else what `masks.look_at` returns.
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
        "broken": [{"name": name, "reason": why} for name, why in broken],
        "boxes": None if source.boxes is None else box_check.examine(source, sizes),
        "masks": None if source.masks is None else masks.examine(source, sizes, headers_only=headers_only),
    }


def find_duplicates(sources: Mapping[str, Source]) -> list[list[str]]:
    """Returns the "split/name" of images whose files have the same content in different splits, a list for each."""
    files = [(split, name, i) for split, source in sources.items() for name, i in zip(source.names, source.images)]
    groups: list[list[tuple[str, str, str | bytes]]] = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        # Only files of the same length can be the same; the others need not be read.
        for key in (_length, _digest):
            same = collections.defaultdict(list)
            for file, value in zip(files, pool.map(key, [image for _, _, image in files])):
                same[value].append(file)
            groups = [group for value, group in same.items() if value is not None and len({f[0] for f in group}) > 1]
            files = [file for group in groups for file in group]
    return [[f"{split}/{name}" for split, name, _ in group] for group in groups]


def _length(image: str | bytes) -> int | None:
    """Returns the length of a file; None if it can't be read, which is reported as broken already."""
    try:
        return len(image) if isinstance(image, bytes) else os.path.getsize(image)
    except OSError:
        return None


def _digest(image: str | bytes) -> bytes | None:
    try:
        content = image if isinstance(image, bytes) else pathlib.Path(image).read_bytes()
    except OSError:
        return None
    return hashlib.sha256(content).digest()


def _problems(split: Mapping[str, Any]) -> int:
    lists = [(split, "broken")]
    lists += [(split.get("boxes") or {}, key) for key in ("no_area", "outside")]
    lists += [(split.get("masks") or {}, key) for key in ("broken", "wrong_size", "empty")]
    return ("error" in split) + sum(len(found.get(key, ())) for found, key in lists)


def as_text(report: Mapping[str, Any]) -> str:
    """Returns a report of `look` as lines for people."""
    lines = [f"Data set: {report['dataset']}"]
    for split, found in report["splits"].items():
        if "images" not in found:
            lines += ["", f"{split}: {found.get('missing') or 'Error: ' + found['error']}"]
            continue
        ends = [f"{key} {found[key]['class']!r} with {found[key]['images']}" for key in ("smallest", "largest")]
        lines += ["", f"{split}: {found['images']} images, {found['classes']} classes ({', '.join(ends)})"]
        what = "files that cannot be used" if found["broken"] else "every file can be read"
        lines += _listed(what, [f"{one['name']}: {one['reason']}" for one in found["broken"]])
        lines += _boxes(found["boxes"], found["images"])
        lines += _masks(found["masks"], found["images"])
    if "duplicates" in report:
        lines.append("")
        lines += _listed("images in several splits", [" = ".join(group) for group in report["duplicates"]], indent="")
    lines += ["", f"{report['problems'] or 'No'} {'problem' if report['problems'] == 1 else 'problems'}."]
    return "\n".join(lines) + "\n"


def _boxes(found: Mapping[str, Any] | None, images: int) -> list[str]:
    if found is None:
        return ["  no boxes"]
    lines = [f"  {found['boxes']} boxes in {images - len(found['without'])} of {images} images"]
    for key, title in (("no_area", "boxes without area"), ("outside", "boxes outside of their image")):
        rows = [box_check.describe(one) for one in found[key]]
        lines += _listed(title, rows) if rows else []
    return lines + (_listed("images without a box", found["without"]) if found["without"] else [])


def _masks(found: Mapping[str, Any] | None, images: int) -> list[str]:
    if found is None:
        return ["  no masks"]
    lines = [f"  {found['masks']} of {images} images have a mask"]
    lists = {
        "masks that cannot be used": [f"{one['name']}: {one['reason']}" for one in found["broken"]],
        "masks of another size than their image": [
            f"{one['name']}: {masks.describe_sizes(one)}" for one in found["wrong_size"]
        ],
        "masks without object (no pixel is brighter than half of the range)": found["empty"],
        "images without a mask": found["without"],
    }
    return lines + [line for title, rows in lists.items() if rows for line in _listed(title, rows)]


def _listed(title: str, rows: list[str], indent: str = "  ") -> list[str]:
    """Returns a title with the number of rows, and the first of them."""
    if not rows:
        return [f"{indent}{title}" if indent else f"{title}: none"]
    more = [f"{indent}  and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []
    return [f"{indent}{title}: {len(rows)}", *(f"{indent}  {row}" for row in rows[:_SHOWN]), *more]
