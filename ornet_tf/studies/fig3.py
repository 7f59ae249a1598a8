"""The paper's Fig. 3: an image, stage one's map and stage two's map."""
from __future__ import annotations

from ornet_tf.reproduction import study, study_galleries
from ornet_tf.studies import _rows


class Study(study.Study):
    """Maps of both stages."""

    title = "Fig. 3: image, stage one's map and stage two's map"
    about = (
        "The paper shows (a) one image, (b) stage one's map and (c) stage two's map; where its section 3.2 says (a) "
        "and (b), it means (b) and (c). The map lies over the image."
    )

    def rows(self, config):
        """Returns both stages."""
        return _rows.both_stages(config)

    def show(self, results):
        """Returns the gallery."""
        return study_galleries.maps_gallery(results.outcomes, self.title)
