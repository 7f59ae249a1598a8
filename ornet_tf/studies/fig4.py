"""The paper's Fig. 4: activation values of stage one and of stage two."""
from __future__ import annotations

from ornet_tf.reproduction import study_charts
from ornet_tf.studies import _stage_two


class Study:
    """The unchanged experiment: histograms of the activation values after each stage."""

    title = "Fig. 4: activation values after stage one and after stage two"
    about = (
        "Values of all pixels of the activation maps of all evaluated images. In the paper the values of stage one "
        "concentrate in the middle of the range, and those of stage two at 0 and 1."
    )
    rows = ("stage_one",)
    phase = staticmethod(_stage_two.find_phase)

    def variants(self, config):
        """Returns the unchanged stage two."""
        return {"stage two": {}}

    def draw(self, rows, variants):
        """Returns the histograms."""
        return study_charts.histograms([*rows.values(), *variants.values()], self.title)
