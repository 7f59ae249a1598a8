"""The paper's Fig. 10: boxes and refined maps on ImageNet-1K."""
from __future__ import annotations

from ornet_tf.studies import _box_gallery


class Study(_box_gallery.BoxGallery):
    """Boxes and refined maps: Fig. 8 of an experiment on ImageNet."""

    title = "Fig. 10: boxes and refined activation maps (in the paper on ImageNet-1K)"
    about = (
        "The same gallery as fig8: the paper's Fig. 10 is that of an experiment on ImageNet, such as "
        "configs/imagenet_folders.py. Ground truth in blue and prediction in green, as in the paper."
    )
