"""The paper's Fig. 6: maps of stage two without and with the entropy loss, and the weight of Eq. 15."""
from __future__ import annotations

import numpy as np
import tensorflow as tf

from ornet_tf.losses import weighted_entropy
from ornet_tf.reproduction import study, study_charts, study_galleries, study_tables
from ornet_tf.reproduction.contents import Picture
from ornet_tf.studies import _stage_two

# mu and sigma. The first is the paper's setting; the others are ours.
_PARAMETERS = ((0.5, 0.1), (0.5, 0.05), (0.5, 0.2), (0.3, 0.1), (0.7, 0.1))
_STEPS = 201  # of the map's value from 0 to 1


class Study(study.Study):
    """Maps without and with the weighted entropy, and curves of its weight."""

    title = "Fig. 6: maps without and with the entropy loss, and the weight of the weighted entropy"
    about = (
        "(a) Stage two without the weighted entropy, all else as configured, and (b) with it. The map lies over the "
        "image. (c) The weight gamma of Eq. 15 against the map's value. The paper's text gives mu = 0.5 and sigma = "
        "0.1 only, so the other parameters are ours. It does not say whether (a) has erasing and the area loss; here "
        "it has both."
    )

    def variants(self, config):
        """Returns stage two without the weighted entropy, and unchanged."""
        without = _stage_two.remove_terms(config, "weighted_entropy")
        return {"(a) without the entropy loss": without, "(b) with the entropy loss": {}}

    def show(self, results):
        """Returns the gallery, and the curves with their numbers."""
        values = np.linspace(0.0, 1.0, _STEPS)
        curves = {
            f"mu = {mu:g}, sigma = {sigma:g}": weighted_entropy.weight(
                tf.constant(values, tf.float32), mu=mu, sigma=sigma
            ).numpy()
            for mu, sigma in _PARAMETERS
        }
        title = "(c) Weight of the weighted entropy, Eq. 15"
        table = study_tables.by_place("weights", title, "map value", values, curves)
        return [
            *study_galleries.maps_gallery(results.outcomes, "(a) without and (b) with the entropy loss"),
            Picture("weights", title, study_charts.curves(table, title, "map value", "gamma")),
            table,
        ]
