"""The paper's Fig. 6: maps and boxes on images."""
from __future__ import annotations

from ornet_tf.reproduction import outcomes
from ornet_tf.studies import _stage_two


class Study:
    """The experiment as it is: CAM, stage one and stage two on the same images."""

    title = "Fig. 6: maps and boxes of CAM, stage one and stage two"
    about = (
        "Images spread evenly over the evaluated split, not chosen by hand: config.evaluation.gallery_images of them. "
        "Red: "
        "the box at the fixed threshold; green: the truth."
    )
    rows = ("cam", "stage_one")
    phase = staticmethod(_stage_two.phase)

    def variants(self, config):
        """Returns stage two as it is."""
        return {"stage two": {}}

    def draw(self, rows, variants):
        """Returns the gallery."""
        shown = [*rows.values(), *variants.values()]
        return outcomes.gallery(shown, shown[0].runs[0].config.evaluation.gallery_images)
