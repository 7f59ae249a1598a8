"""Classifiers in two parts. A plug-in defines `build(*, image_size, num_classes, options...) -> Backbone`."""
from __future__ import annotations

import typing

from ornet_tf.compat import keras


class Backbone(typing.NamedTuple):
    """A classifier as three functional models; classifier(x) = upper(lower(normalize(x))).

    Attributes:
      normalize: float32 [B, H, W, 3] in 0..255 -> normalized pixels of the same shape; 0 is the mean colour.
      lower: normalized pixels -> low-level features [B, h, w, C], up to and including the split layer.
      upper: low-level features -> {"features": the last feature map [B, h', w', D], "logits": [B, K]}.
      pretrained: names of the layers whose weights come from a file; the others have random or constant weights.
    """

    normalize: keras.Model
    lower: keras.Model
    upper: keras.Model
    pretrained: frozenset[str] = frozenset()
