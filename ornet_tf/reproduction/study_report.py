"""Writes the report of a study: Markdown, CSV and PNG files, and one HTML page of all studies."""
from __future__ import annotations

import base64
import csv
import datetime
import html
import io
import os
import re
import typing
from collections.abc import Mapping, Sequence

from PIL import Image

from ornet_tf import atomic_write, metrics
from ornet_tf.errors import UserError
from ornet_tf.reproduction.contents import Picture, Table
from ornet_tf.reproduction.study import Results, Study
from ornet_tf.runs import run_folder

_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; color: #1e1e1e; max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.3em; border-top: 1px solid #ccc; padding-top: 1em } h3 { font-size: 1.05em }
table { border-collapse: collapse; font-size: .9em } td, th { border-bottom: 1px solid #ddd; padding: .25em .7em }
td { white-space: nowrap }
td:not(:first-child), th { text-align: right } th:first-child, td:first-child { text-align: left }
.wide { overflow-x: auto } img { max-width: 100% } .wide img { max-width: none } small { color: #6e6e6e }
"""


class Report(typing.NamedTuple):
    """The report of a study.

    Attributes:
      name: of the study.
      title: one line.
      about: how to read the study.
      settings: one line about data, seeds and thresholds.
      shown: its tables and pictures, in order.
    """

    name: str
    title: str
    about: str
    settings: str
    shown: Sequence[Table | Picture]


def make_report(name: str, study: Study, results: Results) -> Report:
    """Makes the report of a study.

    Raises:
      UserError: if none of its rows has an activation map.
    """
    if not results.outcomes:
        raise UserError(f"--what={name}: expected rows with an activation map, got none; choose another study.")
    runs = results.outcomes[0].runs
    result, summary = runs[0].result, runs[0].summary()
    settings = (
        f"{metrics.describe_count(summary, result['split'])} of {results.config.dataset.name}; figures: "
        f"{runs[0].title}; seeds: {', '.join(str(run.config.seed) for run in runs)}; threshold "
        f"{result['threshold']:g}, IoU {result['iou_threshold']:g}; {datetime.date.today().isoformat()}."
    )
    shown = study.show(results)
    if not shown:
        settings += " Nothing to show: no image has ground truth, or config.evaluation.gallery_images is 0."
    return Report(name, study.title, study.about, settings, shown)


def write(folder: str, report: Report) -> None:
    """Writes `<name>.md`, a CSV file for each table and a PNG file for each picture, and the page of all studies.

    The first table is in `<name>.csv`, the first picture in `<name>.png`, all others in `<name>_<their name>`.

    Args:
      folder: the folder of all reports.
      report: the report; it replaces an earlier one of the study.

    Raises:
      OSError: if a file can't be written.
    """
    run_folder.write_text(os.path.join(folder, f"{report.name}.md"), markdown(report))
    for kind in (Table, Picture):
        for position, item in enumerate(item for item in report.shown if isinstance(item, kind)):
            path = os.path.join(folder, f"{report.name}_{item.name}" if position else report.name)
            if isinstance(item, Table):
                run_folder.write_text(f"{path}.csv", _csv(item))
            else:
                with atomic_write.open_file(f"{path}.png") as file:
                    Image.fromarray(item.pixels).save(file, "PNG")
    _write_section(folder, report.name, section(report))


def write_left_out(folder: str, name: str, reason: str) -> None:
    """Writes on the page of all studies why a study is left out, until it is made.

    Raises:
      OSError: if a file can't be written.
    """
    text = f'<section id="{name}"><h2>{name}</h2><p>Left out: {html.escape(reason)}</p></section>\n'
    _write_section(folder, name, text)


def _write_section(folder: str, name: str, text: str) -> None:
    """Writes the section of a study, and the page of all sections."""
    run_folder.write_text(os.path.join(folder, "sections", f"{name}.html"), text)
    sections = {}
    for file_name in sorted(os.listdir(os.path.join(folder, "sections")), key=_natural_order):
        stem, ending = os.path.splitext(file_name)
        if ending == ".html":
            with open(os.path.join(folder, "sections", file_name), encoding="utf-8") as file:
                sections[stem] = file.read()
    run_folder.write_text(os.path.join(folder, "index.html"), page(sections))


def _natural_order(name: str) -> list[tuple[bool, int, str]]:
    """Orders fig2 before fig10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def markdown(report: Report) -> str:
    """Returns the study's tables as Markdown; the long tables of curves are in CSV files only."""
    lines = [f"# {report.title}", "", report.about, "", report.settings, ""]
    for item in report.shown:
        if isinstance(item, Table) and not item.is_long:
            lines += [f"## {item.title}", ""]
            lines += [f"| {' | '.join(item.head)} |", f"|---|{'---|' * (len(item.head) - 1)}"]
            lines += [f"| {' | '.join(line)} |" for line in item.lines]
            lines += ["", *(f"* {note}" for note in item.notes), *([""] if item.notes else [])]
    return "\n".join(lines)


def section(report: Report) -> str:
    """Returns the study as a section of an HTML page, with images embedded."""
    parts = [f'<section id="{report.name}"><h2>{html.escape(report.title)}</h2>']
    parts += [f"<p>{html.escape(report.about)}</p><p><small>{html.escape(report.settings)}</small></p>"]
    for item in report.shown:
        title, is_table = html.escape(item.title), isinstance(item, Table)
        body = (_table(item) if is_table else _picture(item)) + _notes(item.notes)
        if is_table and item.is_long:
            parts.append(f"<details><summary>{title}</summary>{body}</details>")
        else:
            parts.append(body if item.title == report.title else f"<h3>{title}</h3>{body}")
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


def _notes(notes: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(note)}</li>' for note in notes)}</ul>" if notes else ""


def _table(table: Table) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line("td", cells) for cells in table.lines)
    return f'<div class="wide"><table><thead>{line("th", table.head)}</thead><tbody>{body}</tbody></table></div>'


def _picture(picture: Picture) -> str:
    """Returns an element with the embedded picture: PNG, or JPEG for large ones."""
    height, width = picture.pixels.shape[:2]
    buffer, kind = io.BytesIO(), "jpeg" if height * width > 2**21 else "png"
    Image.fromarray(picture.pixels).save(buffer, kind.upper())
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    wide = ' class="wide"' if width > 1100 else ""
    return f'<div{wide}><img alt="{html.escape(picture.title)}" src="data:image/{kind};base64,{data}"></div>'


def _csv(table: Table) -> str:
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for numbers in table.numbers for key in numbers))
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.numbers)
    return buffer.getvalue()
