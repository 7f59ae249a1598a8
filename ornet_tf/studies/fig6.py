"""The paper's Fig. 6: maps and boxes on images."""
from __future__ import annotations

from ornet_tf.reproduction import outcomes
from ornet_tf.studies import _stage_two


class Study:
    """The unchanged experiment: CAM, stage one and stage two on the same images."""

    title = "Fig. 6: maps and boxes of CAM, stage one and stage two"
    about = (
        "config.evaluation.gallery_images images, spread evenly over the evaluated split and not chosen by hand. Red: "
        "the box at the fixed threshold. Green: the ground truth."
    )
    rows = ("cam", "stage_one")
    phase = staticmethod(_stage_two.find_phase)

    def variants(self, config):
        """Returns the unchanged stage two."""
        return {"stage two": {}}

    def draw(self, rows, variants):
        """Returns the gallery."""
        columns = [*rows.values(), *variants.values()]
        return outcomes.gallery(columns, columns[0].runs[0].config.evaluation.gallery_images)
