"""Builders and batches for tests of methods without training: images of 16 pixels, 3 classes."""
import functools

import numpy as np
import tensorflow as tf

from ornet_tf import randomness, registry
from ornet_tf.methods import Builders
from ornet_tf.models import generator, object_prior

BUILDERS = Builders(
    backbone=functools.partial(
        registry.find("backbones", "vgg_small"), image_size=16, num_classes=3, blocks=((4,), (4,), (6,))
    ),
    generator=functools.partial(generator.build, num_classes=3, base_width=4, depth=1),
    object_prior=functools.partial(object_prior.ObjectPrior, threshold=0.4),
)
FULLY_CONNECTED = BUILDERS._replace(  # for images of 32 pixels
    backbone=functools.partial(
        registry.find("backbones", "vgg16"), image_size=32, num_classes=3, weights=None, head="fully_connected"
    )
)
KEYS = randomness.key(1, tf.constant(0, tf.int64), tf.range(4, dtype=tf.int64))


def images(count=4):
    """Returns random images, float32 [count, 16, 16, 3] in 0..255."""
    return tf.random.stateless_uniform([count, 16, 16, 3], [3, 4], 0.0, 255.0)


def batch():
    """Returns a training batch of 4 examples."""
    return {"image": images(), "label": tf.constant([0, 1, 2, 0]), "key": KEYS}


def randomize_weights(part, seed=0):
    """Gives a part of a method normally distributed weights."""
    rng = np.random.default_rng(seed)
    part.set_weights([rng.normal(size=weight.shape).astype(np.float32) for weight in part.weights])


def normalized(count=4):
    """Returns the images as the backbone normalizes them."""
    return images(count) / 64.0 - 2.0


def conv_maps_and_gradients(method, classes):
    """Returns the maps of block3_1_conv [4, 4, 4, 6] and, of each example alone, its logit's gradients: arrays.

    Args:
      method: has the parts `lower` and `upper` of `BUILDERS`.
      classes: integers [4], the class of each example's logit.
    """
    upper = method.parts["upper"]
    maps = upper.get_layer("block3_1_conv")(method.parts["lower"](normalized()))
    gradients = []
    for one, label in zip(tf.split(maps, len(maps)), classes):  # through the layers that follow
        with tf.GradientTape() as tape:
            tape.watch(one)
            x = upper.get_layer("block3_1_norm")(one, training=False)
            x = upper.get_layer("gap")(upper.get_layer("block3_1_relu")(x))
            logit = upper.get_layer("predictions")(x)[0, int(label)]
        gradients.append(tape.gradient(logit, one).numpy()[0])
    return maps.numpy(), np.stack(gradients)


def save_localize(model, folder):
    """Saves a localizer's function `localize`, one of the three of an export, and its weights as a SavedModel."""
    module = tf.Module()
    module.weights, module.localize = model._weights, model.localize
    tf.saved_model.save(module, str(folder), signatures=module.localize)


def predict_after_saving(method, folder):
    """Returns the outputs of `predict` for the images, by a SavedModel of the method."""
    module = tf.Module()
    module.parts = list(method.parts.values())
    module.predict = tf.function(method.predict, input_signature=[tf.TensorSpec([None, 16, 16, 3])])
    tf.saved_model.save(module, str(folder))
    loaded = tf.saved_model.load(str(folder))
    return loaded.predict(images())
