"""The paper's Fig. 4: activation values of stage one and of stage two."""
from __future__ import annotations

import numpy as np

from ornet_tf.reproduction import comparison, examples, study, study_charts, study_galleries, study_tables
from ornet_tf.reproduction.contents import Picture
from ornet_tf.reproduction.outcomes import BINS
from ornet_tf.studies import _rows


class Study(study.Study):
    """Histograms of the map values of both stages: of one image, and of all."""

    title = "Fig. 4: activation values of stage one and of stage two"
    about = (
        "The paper has the histograms of the two maps of its Fig. 3, which is one image. Here they are those of the "
        "first image of fig3, which is the first of the evaluated split, and those of all images. In the paper the "
        "values of stage one concentrate around 0.5. Values are taken at the map's own resolution, "
        "before refinement along edges."
    )

    def rows(self, config):
        """Returns both stages."""
        return _rows.both_stages(config)

    def show(self, results):
        """Returns the histograms of one image and of all images."""
        example, = examples.look_at(results.outcomes, [0])
        columns = {}
        for outcome, activation_map in zip(results.outcomes, example.maps):
            counts, _ = np.histogram(activation_map, BINS, (0.0, 1.0))
            columns[outcome.label] = 100.0 * counts / activation_map.size
        notes = tuple(study_galleries.of_seed(results.outcomes[0]))
        title = f"Activation values of one image, {example.name}"
        return [
            Picture("one_image", title, study_charts.histograms(columns, title), notes),
            study_tables.histograms_table("one_image", columns),
            *comparison.histograms(results.outcomes, "Activation values of all images"),
        ]
