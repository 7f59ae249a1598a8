"""The paper's Fig. 7: what each erasing strategy erases from one map."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ornet_tf import randomness, registry
from ornet_tf.maps import sheets, visualize
from ornet_tf.reproduction import examples, study, study_galleries
from ornet_tf.reproduction.contents import Picture
from ornet_tf.studies import _rows, _stage_two

_ERASED_FROM_MAP, _ERASED_FROM_IMAGE = (128, 128, 128), (0, 0, 0)  # grey is no colour of a map


class Study(study.Study):
    """One image with its map, and what the four strategies erase from it."""

    title = "Fig. 7: what each erasing strategy erases"
    about = (
        "The map of stage two for the first image of the evaluated split. Above: the map, with erased pixels in grey. "
        "Below: the image, with erased pixels in black. The strategies are the project's own, with the experiment's "
        "erasing options that each knows, and the random numbers of one training example; the probability of erasing "
        "an example is 1. The paper's caption calls (c) the regions within a rectangle; by its section 3.2.2 only "
        "pixels above the threshold are candidates, so (c) erases these. The study erasing_strategies trains with each "
        "strategy."
    )

    def rows(self, config):
        """Returns stage two."""
        return {"stage two": _rows.last_phase(config, "stage_two")}

    def show(self, results):
        """Returns the illustration."""
        outcome, = results.outcomes
        example, = examples.look_at([outcome], [0])
        activation_map = example.maps[0]
        large = sheets.enlarge(example.image)
        coloured = visualize.overlay(large, activation_map, alpha=1.0)
        epoch, index = tf.constant(0, tf.int64), tf.constant([example.index], tf.int64)
        key = randomness.key(outcome.runs[0].config.seed, epoch, index)
        above, below, heads = [coloured], [large], ["map and image"]
        for letter, (name, erased) in zip("abcd", erased_pixels(activation_map, key, results.config).items()):
            above.append(study_galleries.paint(coloured, erased, _ERASED_FROM_MAP))
            below.append(study_galleries.paint(large, erased, _ERASED_FROM_IMAGE))
            heads.append(f"({letter}) {name.replace('_', ' ')}: {100 * erased.mean():.0f} %")
        note = f"Image: {example.name}. The percentage is the share of erased pixels of the map."
        pixels = sheets.grid([above, below], heads=heads, boxes=False)
        return [Picture("strategies", self.title, pixels, (note, *study_galleries.of_seed(outcome)))]


def erased_pixels(activation_map: np.ndarray, key: tf.Tensor, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns strategy -> the pixels that it erases, bool [h, w], from a map [h, w, 1] with the key int64 [1, 2]."""
    # Erased pixels become 0, so no other pixel may be 0.
    visible, erased = np.maximum(activation_map, np.finfo(np.float32).tiny), {}
    for name, options in _stage_two.erasing_options(config).items():
        erase = registry.find("erasing", name)
        after = erase(tf.constant(visible[np.newaxis]), key, **{**options, "probability": 1.0}).numpy()[0]
        erased[name] = (after != visible)[..., 0]
    return erased
