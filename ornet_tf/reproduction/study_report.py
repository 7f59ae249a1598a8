"""What a study leaves to read: Markdown, CSV and PNG, and one HTML file of all studies that opens without a server."""
from __future__ import annotations

import base64
import csv
import datetime
import html
import io
import os
import typing
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from ornet_tf import atomic_write, metrics
from ornet_tf.metrics import _failure_kinds
from ornet_tf.reproduction import outcomes, study_charts
from ornet_tf.reproduction.outcomes import Outcome
from ornet_tf.reproduction.study import Study
from ornet_tf.reproduction.study_charts import Table
from ornet_tf.runs import run_folder

_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; color: #1e1e1e; max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.3em; border-top: 1px solid #ccc; padding-top: 1em } h3 { font-size: 1.05em }
table { border-collapse: collapse; font-size: .9em } td, th { border-bottom: 1px solid #ddd; padding: .25em .7em }
td:not(:first-child), th { text-align: right } th:first-child, td:first-child { text-align: left }
.wide { overflow-x: auto } img { max-width: 100% } .wide img { max-width: none } small { color: #6e6e6e }
"""


class Shown(typing.NamedTuple):
    """What a report shows of a study, in its order.

    Attributes:
      name: of the study.
      title: one line.
      about: what to know to read it.
      settings: one line on what was run.
      tables: end of the file name, empty for the first -> table.
      images: title -> uint8 [H, W, 3]; the first is the study's own.
    """

    name: str
    title: str
    about: str
    settings: str
    tables: Mapping[str, Table]
    images: Mapping[str, np.ndarray]


def make(name: str, study: Study, rows: Mapping[str, Outcome], variants: Mapping[str, Outcome]) -> Shown:
    """Makes tables and images of what came out of a study.

    Args:
      name: of the study.
      study: what it is.
      rows: rows of the experiment, by name.
      variants: by label; the one whose folder says that nothing was changed is the reference, else the first.
    """
    shown = [*rows.values(), *variants.values()]
    changed = [o for o in variants.values() if os.path.basename(o.runs[0].workdir) != "as_configured"]
    reference = next((o for o in variants.values() if o not in changed), shown[0])
    first = shown[0].runs[0]
    tables = {
        "": study_charts.figures_table(shown),
        "differences": study_charts.differences_table(shown, reference),
        "failures": study_charts.failures_table(shown),
        "thresholds": study_charts.thresholds_table(shown),
        "histograms": study_charts.histograms_table(shown),
    }
    images = {
        study.title: study.draw(rows, variants),
        "CorLoc against the threshold": study_charts.threshold_curves(shown, "CorLoc against the threshold on the map"),
        "Failures by kind": study_charts.failure_bars(shown, "Right boxes and failures by kind"),
        "Activation values": study_charts.histograms(shown, "Activation values"),
        "Maps and boxes": outcomes.gallery(shown, first.config.evaluation.gallery_images),
    }
    seeds = ", ".join(str(run.config.seed) for run in shown[0].runs)
    result = first.result
    settings = (
        f"{metrics.describe_count(first.summary(), result['split'])} of {first.config.dataset.name}; figures: "
        f"{first.title}; seeds: {seeds}; threshold {result['threshold']:g}, overlap {result['iou_threshold']:g}; "
        f"{datetime.date.today().isoformat()}."
    )
    return Shown(
        name, study.title, study.about, settings,
        {key: table for key, table in tables.items() if table is not None},
        {key: image for key, image in images.items() if image is not None},
    )  # fmt: skip


def write(folder: str, shown: Shown) -> None:
    """Writes `<name>.md`, `.csv`, `_<table>.csv` and `.png`, and puts the study into index.html in the place it has.

    Raises:
      OSError: if a file can't be written.
    """
    run_folder.write_text(os.path.join(folder, f"{shown.name}.md"), markdown(shown))
    for key, table in shown.tables.items():
        run_folder.write_text(os.path.join(folder, "_".join(filter(None, [shown.name, key])) + ".csv"), _csv(table))
    images = list(shown.images.values())
    if images:
        with atomic_write.open_file(os.path.join(folder, f"{shown.name}.png")) as file:
            Image.fromarray(images[0]).save(file, "PNG")
    run_folder.write_text(os.path.join(folder, "sections", f"{shown.name}.html"), section(shown))
    sections = {}
    for file_name in sorted(os.listdir(os.path.join(folder, "sections"))):
        name, ending = os.path.splitext(file_name)
        if ending == ".html":
            with open(os.path.join(folder, "sections", file_name), encoding="utf-8") as file:
                sections[name] = file.read()
    run_folder.write_text(os.path.join(folder, "index.html"), page(sections))


def markdown(shown: Shown) -> str:
    """Returns the study's tables as Markdown; the long ones, of curves and histograms, are in the CSV files only."""
    lines = [f"# {shown.title}", "", shown.about, "", shown.settings, ""]
    for key, table in shown.tables.items():
        if key in ("", "differences", "failures"):
            lines += [f"## {table.title}", ""]
            lines += [f"| {' | '.join(table.head)} |", f"|---|{'---|' * (len(table.head) - 1)}"]
            lines += [f"| {' | '.join(line)} |" for line in table.lines]
            lines.append("")
    if "failures" in shown.tables:
        lines += [f"* {kind}: {meaning}" for kind, meaning in _failure_kinds.KINDS.items()]
    return "\n".join([*lines, ""])


def section(shown: Shown) -> str:
    """Returns the study as a part of an HTML page: images are inside, nothing else is fetched."""
    parts = [f'<section id="{shown.name}"><h2>{html.escape(shown.title)}</h2>']
    parts += [f"<p>{html.escape(shown.about)}</p><p><small>{html.escape(shown.settings)}</small></p>"]
    for title, image in shown.images.items():
        wide = ' class="wide"' if image.shape[1] > 1100 else ""
        parts.append(f"<h3>{html.escape(title)}</h3><div{wide}>{_image(image, title)}</div>")
    for key, table in shown.tables.items():
        body = _table(table)
        if key in ("thresholds", "histograms"):
            parts.append(f"<details><summary>{html.escape(table.title)}</summary>{body}</details>")
        else:
            parts.append(f"<h3>{html.escape(table.title)}</h3>{body}")
        if key == "failures":
            items = [f"<li>{html.escape(f'{kind}: {meaning}')}</li>" for kind, meaning in _failure_kinds.KINDS.items()]
            parts.append(f"<ul>{''.join(items)}</ul>")
    return "\n".join([*parts, "</section>", ""])


def page(sections: Mapping[str, str]) -> str:
    """Returns the HTML page of all studies, by name."""
    links = " · ".join(f'<a href="#{name}">{name}</a>' for name in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>ORNet: tables and figures</title>\n<style>{_STYLE}</style></head><body>\n"
        f"<h1>ORNet: tables and figures</h1><nav>{links}</nav>\n{''.join(sections.values())}</body></html>\n"
    )


def _table(table: Table) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line("td", cells) for cells in table.lines)
    return f'<div class="wide"><table><thead>{line("th", table.head)}</thead><tbody>{body}</tbody></table></div>'


def _image(image: np.ndarray, title: str) -> str:
    """Returns an img element that holds the image: large ones as JPEG."""
    buffer, kind = io.BytesIO(), "jpeg" if image.shape[0] * image.shape[1] > 2**21 else "png"
    Image.fromarray(image).save(buffer, kind.upper())
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(title)}" src="data:image/{kind};base64,{data}">'


def _csv(table: Table) -> str:
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for numbers in table.numbers for key in numbers))
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.numbers)
    return buffer.getvalue()
