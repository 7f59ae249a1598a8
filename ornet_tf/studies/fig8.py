"""The paper's Fig. 8: boxes and refined maps on CUB-200-2011."""
from __future__ import annotations

from ornet_tf.studies import _box_gallery


class Study(_box_gallery.BoxGallery):
    """Boxes and refined maps."""

    title = "Fig. 8: boxes and refined activation maps (in the paper on CUB-200-2011)"
    about = "Ground truth in blue and prediction in green, as in the paper. Below each image its map, laid over it."
