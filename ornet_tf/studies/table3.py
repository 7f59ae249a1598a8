"""The paper's Table 3: what each component of stage two adds."""
from __future__ import annotations

from ornet_tf.reproduction import comparison, paper_tables, study, study_tables
from ornet_tf.studies import _rows, _stage_two

_ALL = "L_e + alpha L_w + beta L_a + AE"


class Study(study.Study):
    """Stage two with none, some and all of its components."""

    title = "Table 3: what each component of stage two adds"
    about = (
        "L_e: the evaluator's cross-entropy. L_w: the weighted entropy. L_a: the area loss. AE: attentive erasing. "
        "Other losses of the experiment are in every line. The paper does not say whether its lines differ in anything "
        "else; here they do not."
    )
    needs_boxes = True

    def rows(self, config):
        """Returns stage one."""
        return {"stage one": _rows.last_phase(config, "stage_one")}

    def variants(self, config):
        """Returns the eight combinations of the components; the one with all of them is the unchanged experiment."""
        _stage_two.require_attentive_erasing(config)
        _stage_two.remove_terms(config, "weighted_entropy", "area")  # both terms exist
        variants = {}
        for label in paper_tables.TABLE_3.rows:
            parts = label.split(" + ")
            if parts[0] != "L_e":
                continue
            removed = [p for part, p in (("alpha L_w", "weighted_entropy"), ("beta L_a", "area")) if part not in parts]
            without_erasing = {} if "AE" in parts else _stage_two.set_erasing(config, None, {})
            variants[label] = {**_stage_two.remove_terms(config, *removed), **without_erasing}
        return variants

    def show(self, results):
        """Returns the table, a bar for each line, and details."""
        lines = {**results.rows, **results.variants}
        return [
            study_tables.beside_paper(lines, paper_tables.TABLE_3, {label: label for label in lines}),
            *comparison.bars(results.outcomes, self.title),
            *comparison.details(results.outcomes, results.variants[_ALL]),
        ]
