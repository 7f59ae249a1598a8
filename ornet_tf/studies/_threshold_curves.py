"""What Fig. 11(b) and (c) of the paper have in common: CorLoc against the threshold on the map."""
from __future__ import annotations

from ornet_tf.reproduction import comparison, study, study_tables
from ornet_tf.studies import _rows


class ThresholdCurves(study.Study):
    """CAM and the stages of the unchanged experiment; subclasses set the title."""

    about = (
        "CorLoc of the box at each threshold on the map. The paper calls its method stable from 0.2 to 0.8. Its text "
        "does not say which other curves the figure has; here they are stage one and CAM, or Grad-CAM where "
        "the backbone's head has more than one dense layer."
    )
    needs_boxes = True

    def rows(self, config):
        """Returns CAM or Grad-CAM, stage one and stage two."""
        return {**_rows.classifier_map(config), **_rows.both_stages(config)}

    def show(self, results):
        """Returns the curves, their numbers, and all figures."""
        curves = comparison.thresholds(results.outcomes, self.title)
        return [*curves, study_tables.figures_table(results.outcomes)]
