"""Localization against the length of stage two, which the paper does not study."""
from __future__ import annotations

from ornet_tf.reproduction import study_charts
from ornet_tf.studies import _stage_two

_FACTORS = (0.125, 0.25, 0.5, 1.0)  # by which the configured number of epochs is multiplied


class Study:
    """Stage two with several numbers of epochs."""

    title = "Localization against the number of epochs of stage two"
    about = (
        "Each number of epochs is a run with a schedule of its own, whose learning rate decreases to zero at its end. "
        "All start from the same stage one."
    )
    rows = ("cam", "stage_one")
    phase = staticmethod(_stage_two.find_phase)

    def variants(self, config):
        """Returns a variant for each number of epochs, the configured one among them."""
        phase = _stage_two.find_phase(config)
        values = [config["phase"][phase]["epochs"] * factor for factor in _FACTORS]
        return {f"epochs = {value:g}": {f"phase.{phase}.epochs": value} for value in values}

    def draw(self, rows, variants):
        """Returns the curve."""
        values = [float(label.rpartition(" ")[2]) for label in variants]
        return study_charts.score_curve(values, [*variants.values()], self.title, "epochs")
