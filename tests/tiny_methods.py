"""Builders and batches for tests of methods without training: images of 16 pixels, 3 classes."""
import functools

import tensorflow as tf

from ornet_tf import randomness, registry
from ornet_tf.methods import Builders
from ornet_tf.models import generator, object_prior

BUILDERS = Builders(
    backbone=functools.partial(
        registry.find("backbones", "vgg_small"), image_size=16, num_classes=3, blocks=((4,), (4,), (6,))
    ),
    generator=functools.partial(generator.build, num_classes=3, base_width=4, depth=1),
    object_prior=functools.partial(object_prior.ObjectPrior, threshold=0.4, low_level_weight=0.5),
)
KEYS = randomness.key(1, tf.constant(0, tf.int64), tf.range(4, dtype=tf.int64))


def images(count=4):
    """Returns random images, float32 [count, 16, 16, 3] in 0..255."""
    return tf.random.stateless_uniform([count, 16, 16, 3], [3, 4], 0.0, 255.0)


def batch():
    """Returns a training batch of 4 examples."""
    return {"image": images(), "label": tf.constant([0, 1, 2, 0]), "key": KEYS}
