"""What Fig. 11(b) and (c) of the paper have in common: CorLoc against the threshold on the map."""
from __future__ import annotations

from ornet_tf.reproduction import comparison, study, study_tables
from ornet_tf.studies import _rows


class ThresholdCurves(study.Study):
    """The stages of the unchanged experiment, and CAM if it has it; subclasses set the title."""

    about = (
        "CorLoc of the box at each threshold on the map. The paper calls its method stable from 0.2 to 0.8. Its text "
        "does not say which other curves the figure has; here they are stage one and, if the experiment has it, CAM."
    )

    def rows(self, config):
        """Returns CAM, stage one and stage two."""
        cam = _rows.find(config, "cam")
        return {**({"CAM": cam} if cam else {}), **_rows.both_stages(config)}

    def show(self, results):
        """Returns the curves, their numbers, and all figures."""
        curves = comparison.thresholds(results.outcomes, self.title)
        return [*curves, study_tables.figures_table(results.outcomes)]
