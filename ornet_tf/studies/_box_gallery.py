"""What Figs. 8, 9 and 10 of the paper have in common: boxes of stage two on images."""
from __future__ import annotations

from ornet_tf.reproduction import study, study_galleries
from ornet_tf.reproduction.examples import evenly
from ornet_tf.studies import _rows


class BoxGallery(study.Study):
    """Boxes of stage two and its maps, if `has_maps`, on images that `choose` chooses; `rule` says how."""

    rule = study_galleries.EVENLY
    choose = staticmethod(evenly)
    has_maps = True

    def rows(self, config):
        """Returns stage two."""
        return {"stage two": _rows.last_phase(config, "stage_two")}

    def show(self, results):
        """Returns the gallery."""
        outcome, = results.outcomes
        indices = self.choose(outcome, study_galleries.count(outcome))
        return study_galleries.boxes_gallery(outcome, indices, self.title, self.rule, maps=self.has_maps)
