"""The paper's Fig. 9: boxes in noisy surroundings."""
from __future__ import annotations

from ornet_tf.reproduction.examples import LEAST_SURROUNDINGS, noisiest
from ornet_tf.studies import _box_gallery


class Study(_box_gallery.BoxGallery):
    """Boxes of stage two on the images with the noisiest surroundings."""

    title = "Fig. 9: boxes in noisy surroundings"
    about = (
        "Ground truth in blue and prediction in green, as in the paper. The paper does not say how it chose images "
        "with a noisy environment; here a rule chooses them."
    )
    needs_boxes = True
    rule = (
        "The images are those of the evaluated split whose surroundings have the most edges: the largest mean step of "
        "brightness between neighbouring pixels outside all true boxes, where these leave at least "
        f"{100 * LEAST_SURROUNDINGS:g} % of the image."
    )
    choose = staticmethod(noisiest)
    has_maps = False
