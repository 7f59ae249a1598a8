"""Localization against the length of stage two, which the paper does not study."""
from __future__ import annotations

from ornet_tf.reproduction import comparison, study, study_charts
from ornet_tf.reproduction.contents import Picture
from ornet_tf.studies import _rows, _stage_two

_FACTORS = (0.125, 0.25, 0.5, 1.0)  # by which the configured number of epochs is multiplied


class Study(study.Study):
    """Stage two with several numbers of epochs."""

    title = "Localization against the number of epochs of stage two"
    about = (
        "Not in the paper. Each number of epochs is a run with a schedule of its own, whose learning rate decreases to "
        "zero at its end. All start from the same stage one."
    )

    def rows(self, config):
        """Returns CAM or Grad-CAM, and stage one."""
        return {**_rows.classifier_map(config), "stage one": _rows.last_phase(config, "stage_one")}

    def variants(self, config):
        """Returns a variant for each number of epochs, the configured one among them."""
        phase = _rows.last_phase(config, "stage_two")
        values = [config["phase"][phase]["epochs"] * factor for factor in _FACTORS]
        return {f"epochs = {value:g}": {f"phase.{phase}.epochs": value} for value in values}

    def show(self, results):
        """Returns the curve, and details."""
        outcomes = [*results.variants.values()]
        values = [float(label.rpartition(" ")[2]) for label in results.variants]
        pixels = study_charts.score_curves([study_charts.Sweep("epochs", values, outcomes)], self.title)
        curve = [] if pixels is None else [Picture("curve", self.title, pixels)]
        return [*curve, *comparison.details(results.outcomes, outcomes[-1])]
