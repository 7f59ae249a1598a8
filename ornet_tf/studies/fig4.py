"""The paper's Fig. 4: activation values of stage one and of stage two."""
from __future__ import annotations

from ornet_tf.reproduction import study_charts
from ornet_tf.studies import _stage_two


class Study:
    """The experiment as it is: where its maps have their values after either stage."""

    title = "Fig. 4: activation values after stage one and after stage two"
    about = (
        "Values of all pixels of the maps of all evaluated images. In the paper stage one heaps them up in the grey "
        "middle, and stage two pushes them to 0 and 1."
    )
    rows = ("stage_one",)
    phase = staticmethod(_stage_two.phase)

    def variants(self, config):
        """Returns stage two as it is."""
        return {"stage two": {}}

    def draw(self, rows, variants):
        """Returns the histograms."""
        return study_charts.histograms([*rows.values(), *variants.values()], self.title)
