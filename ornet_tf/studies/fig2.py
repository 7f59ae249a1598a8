"""The paper's Fig. 2: activation maps of CAM, ADL and ORNet."""
from __future__ import annotations

from ornet_tf.reproduction import study, study_galleries
from ornet_tf.studies import _rows

_NO_ADL = (
    "ADL is missing: the experiment does not train it. configs/rivals_toybirds.py and configs/rivals_cub10.py do; ADL "
    "needs a head with one dense layer."
)


class Study(study.Study):
    """Maps of CAM, of ADL if the experiment trains it, and of stage two."""

    title = "Fig. 2: activation maps of CAM, ADL and ORNet"
    about = (
        "The paper shows test images of CUB-200-2011. The map lies over the image; ORNet's is that of stage two. "
        "Grad-CAM takes the place of CAM where the backbone's head has more than one dense layer."
    )

    def rows(self, config):
        """Returns CAM or Grad-CAM, ADL if there is one, and stage two."""
        adl = _rows.find(config, "adl")
        return {
            **_rows.classifier_map(config),
            **({"ADL": adl} if adl else {}),
            "ORNet": _rows.last_phase(config, "stage_two"),
        }

    def show(self, results):
        """Returns the gallery."""
        notes = () if "ADL" in results.rows else (_NO_ADL,)
        return study_galleries.maps_gallery(results.outcomes, self.title, *notes)
