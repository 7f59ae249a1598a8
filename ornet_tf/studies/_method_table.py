"""What Tables 1 and 2 of the paper have in common: the methods of an experiment beside those of the paper."""
from __future__ import annotations

from ornet_tf.errors import UserError
from ornet_tf.reproduction import comparison, study, study_tables
from ornet_tf.reproduction.paper_tables import QuotedTable
from ornet_tf.studies import _rows

# Method -> the line of the paper's tables with this method and VGG16.
_COUNTERPARTS = {"cam": "CAM-VGG16", "acol": "ACoL-VGG16", "adl": "ADL-VGG16", "stage_two": "ORNet-VGG16"}


class MethodTable(study.Study):
    """All rows of the unchanged experiment; subclasses set the paper's table."""

    quoted: QuotedTable
    about = (
        "Measured: the rows of config.evaluation.report_rows on the configured data set. “paper” is the same method, "
        "here with the experiment's own options, and in the paper with VGG16; data set and backbone can differ from "
        "those here. Maps of the true label have no line in the paper. The whole table of the paper follows. ClsErr is "
        "that of the evaluator, except for rows in config.evaluation.own_classes."
    )

    def rows(self, config):
        """Returns all reported rows."""
        rows = {row.replace("_", " "): row for row in config["evaluation"]["report_rows"]}
        if not rows:
            raise UserError("config.evaluation.report_rows: expected rows, which the table compares, got none.")
        return rows

    def show(self, results):
        """Returns the measured table, the quoted one, and details."""
        sections = {**results.config.evaluation.row, **results.config.phase}
        shown = {label: sections[outcome.runs[0].row] for label, outcome in results.rows.items()}
        counterparts = {
            label: _COUNTERPARTS.get(section.method, "")
            for label, section in shown.items()
            if not _rows.reads_label(section)
        }
        stage_two = _rows.find(results.config, "stage_two")
        reference = next((o for o in results.outcomes if o.runs[0].row == stage_two), results.outcomes[-1])
        return [
            study_tables.beside_paper(results.rows, self.quoted, counterparts),
            study_tables.quote(self.quoted),
            *comparison.bars(results.outcomes, self.title),
            *comparison.details(results.outcomes, reference),
        ]
