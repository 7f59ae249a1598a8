"""The paper's Table 4: the mean entropy of Eq. 13 against the weighted entropy of Eq. 14."""
from __future__ import annotations

from ornet_tf.reproduction import comparison, paper_tables, study, study_tables
from ornet_tf.studies import _stage_two

_PLAIN, _WEIGHTED = paper_tables.TABLE_4.rows


class Study(study.Study):
    """Stage two with either entropy, all else as configured."""

    title = "Table 4: mean entropy L_h against weighted entropy L_w"
    about = (
        "L_h: the mean entropy of the map's pixels, Eq. 13. L_w: the weighted entropy, Eq. 14. Both have the "
        "configured weight alpha. The paper does not say whether alpha was chosen anew for L_h."
    )
    needs_boxes = True

    def variants(self, config):
        """Returns stage two with the mean entropy, and unchanged."""
        _stage_two.require_attentive_erasing(config)
        term = _stage_two.find_term(config, "weighted_entropy")
        return {_PLAIN: {f"{term}.plugin": "entropy", f"{term}.options": {}}, _WEIGHTED: {}}

    def show(self, results):
        """Returns the table, a bar for each line, and details."""
        counterparts = {label: label for label in results.variants}
        return [
            study_tables.beside_paper(results.variants, paper_tables.TABLE_4, counterparts),
            *comparison.bars(results.outcomes, self.title),
            *comparison.details(results.outcomes, results.variants[_WEIGHTED]),
        ]
