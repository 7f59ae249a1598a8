"""Localization against the length of stage two, which the paper does not study."""
from __future__ import annotations

from ornet_tf.reproduction import comparison, study, study_charts
from ornet_tf.reproduction.contents import Picture
from ornet_tf.studies import _rows

_FACTORS = (0.125, 0.25, 0.5, 1.0)  # by which the configured number of epochs is multiplied


class Study(study.Study):
    """Stage two with several numbers of epochs."""

    title = "Localization against the number of epochs of stage two"
    about = (
        "Not in the paper. Each number of epochs is a run with a schedule of its own, whose learning rate decreases to "
        "zero at its end. All start from the same stage one."
    )
    needs_boxes = True

    def rows(self, config):
        """Returns CAM or Grad-CAM, and stage one."""
        return {**_rows.classifier_map(config), "stage one": _rows.last_phase(config, "stage_one")}

    def variants(self, config):
        """Returns a variant for each number of epochs, the configured one among them."""
        phase = _rows.last_phase(config, "stage_two")
        return {_label(epochs): {f"phase.{phase}.epochs": epochs} for epochs in _epochs(config)}

    def show(self, results):
        """Returns the curve, and details."""
        values = _epochs(results.config)
        outcomes = [results.variants[_label(epochs)] for epochs in values]
        pixels = study_charts.score_curves([study_charts.Sweep("epochs", values, outcomes)], self.title)
        curve = [] if pixels is None else [Picture("curve", self.title, pixels)]
        return [*curve, *comparison.details(results.outcomes, outcomes[-1])]


def _epochs(config):
    """Returns the numbers of epochs; the configured one is the last."""
    configured = config["phase"][_rows.last_phase(config, "stage_two")]["epochs"]
    return [configured * factor for factor in _FACTORS]


def _label(epochs):
    return f"epochs = {epochs:g}"
