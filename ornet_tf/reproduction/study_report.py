"""Writes the report of a study: Markdown, CSV and PNG files, and one HTML page of all studies."""
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


class Report(typing.NamedTuple):
    """The content of a study's report, in order.

    Attributes:
      name: of the study.
      title: one line.
      about: how to read the study.
      settings: one line about data, seeds and thresholds.
      tables: suffix of the CSV file's name -> table; the first suffix is empty.
      images: title -> uint8 [H, W, 3]; the first is the study's own figure.
    """

    name: str
    title: str
    about: str
    settings: str
    tables: Mapping[str, Table]
    images: Mapping[str, np.ndarray]


def make_report(name: str, study: Study, rows: Mapping[str, Outcome], variants: Mapping[str, Outcome]) -> Report:
    """Makes the tables and images of a study.

    Args:
      name: of the study.
      study: the study.
      rows: rows of the experiment, by name.
      variants: by label. Differences are to the variant without changes, or else to the first row or variant.
    """
    compared = [*rows.values(), *variants.values()]
    unchanged = (o for o in variants.values() if os.path.basename(o.runs[0].workdir) == "as_configured")
    reference = next(unchanged, compared[0])
    first = compared[0].runs[0]
    tables = {
        "": study_charts.figures_table(compared),
        "differences": study_charts.differences_table(compared, reference),
        "failures": study_charts.failures_table(compared),
        "thresholds": study_charts.thresholds_table(compared),
        "histograms": study_charts.histograms_table(compared),
    }
    curves_title = "CorLoc against the threshold on the map"
    images = {
        study.title: study.draw(rows, variants),
        "CorLoc against the threshold": study_charts.threshold_curves(compared, curves_title),
        "Failures by kind": study_charts.failure_bars(compared, "Right boxes and failures by kind"),
        "Activation values": study_charts.histograms(compared, "Activation values"),
        "Maps and boxes": outcomes.gallery(compared, first.config.evaluation.gallery_images),
    }
    seeds = ", ".join(str(run.config.seed) for run in compared[0].runs)
    result = first.result
    settings = (
        f"{metrics.describe_count(first.summary(), result['split'])} of {first.config.dataset.name}; figures: "
        f"{first.title}; seeds: {seeds}; threshold {result['threshold']:g}, overlap {result['iou_threshold']:g}; "
        f"{datetime.date.today().isoformat()}."
    )
    return Report(
        name, study.title, study.about, settings,
        {key: table for key, table in tables.items() if table is not None},
        {key: image for key, image in images.items() if image is not None},
    )  # fmt: skip


def write(folder: str, report: Report) -> None:
    """Writes `<name>.md`, `.csv`, `_<table>.csv` and `.png`, and adds or replaces the study in index.html.

    Raises:
      OSError: if a file can't be written.
    """
    run_folder.write_text(os.path.join(folder, f"{report.name}.md"), markdown(report))
    for key, table in report.tables.items():
        run_folder.write_text(os.path.join(folder, "_".join(filter(None, [report.name, key])) + ".csv"), _csv(table))
    images = list(report.images.values())
    if images:
        with atomic_write.open_file(os.path.join(folder, f"{report.name}.png")) as file:
            Image.fromarray(images[0]).save(file, "PNG")
    run_folder.write_text(os.path.join(folder, "sections", f"{report.name}.html"), section(report))
    sections = {}
    for file_name in sorted(os.listdir(os.path.join(folder, "sections"))):
        name, ending = os.path.splitext(file_name)
        if ending == ".html":
            with open(os.path.join(folder, "sections", file_name), encoding="utf-8") as file:
                sections[name] = file.read()
    run_folder.write_text(os.path.join(folder, "index.html"), page(sections))


def markdown(report: Report) -> str:
    """Returns the study's tables as Markdown; the long tables of curves and histograms are in CSV files only."""
    lines = [f"# {report.title}", "", report.about, "", report.settings, ""]
    for key, table in report.tables.items():
        if key in ("", "differences", "failures"):
            lines += [f"## {table.title}", ""]
            lines += [f"| {' | '.join(table.head)} |", f"|---|{'---|' * (len(table.head) - 1)}"]
            lines += [f"| {' | '.join(line)} |" for line in table.lines]
            lines.append("")
    if "failures" in report.tables:
        lines += [f"* {kind}: {meaning}" for kind, meaning in metrics.FAILURE_KINDS.items()]
    return "\n".join([*lines, ""])


def section(report: Report) -> str:
    """Returns the study as a section of an HTML page, with images embedded."""
    parts = [f'<section id="{report.name}"><h2>{html.escape(report.title)}</h2>']
    parts += [f"<p>{html.escape(report.about)}</p><p><small>{html.escape(report.settings)}</small></p>"]
    for title, image in report.images.items():
        wide = ' class="wide"' if image.shape[1] > 1100 else ""
        parts.append(f"<h3>{html.escape(title)}</h3><div{wide}>{_image(image, title)}</div>")
    for key, table in report.tables.items():
        body = _table(table)
        if key in ("thresholds", "histograms"):
            parts.append(f"<details><summary>{html.escape(table.title)}</summary>{body}</details>")
        else:
            parts.append(f"<h3>{html.escape(table.title)}</h3>{body}")
        if key == "failures":
            items = [f"<li>{html.escape(f'{kind}: {meaning}')}</li>" for kind, meaning in metrics.FAILURE_KINDS.items()]
            parts.append(f"<ul>{''.join(items)}</ul>")
    return "\n".join([*parts, "</section>", ""])


def page(sections: Mapping[str, str]) -> str:
    """Returns the HTML page of all studies.

    Args:
      sections: the HTML section of each study, by its name.
    """
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
    """Returns an img element with the embedded image: PNG, or JPEG for large images."""
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
