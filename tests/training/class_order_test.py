import numpy as np
import pytest

from ornet_tf.data.source import Source
from ornet_tf.errors import UserError
from ornet_tf.training import class_order
from tests import tiny_experiment

OUTPUTS = frozenset({"block1_conv1", "predictions"})
SORTED, UNSORTED = ("n01440764", "n01443537", "n02012849"), ("n01440764", "n02012849", "n01443537")
REFUSED = "ascending order of the synset ids, .*, got n01443537 after n02012849. Sort .*evaluator.epochs above 0"


def images(class_names, folders=("a", "b", "c")):
    names = [f"train/{folder}/{number}.JPEG" for folder in folders for number in range(2)]
    return Source(class_names, names, names, np.repeat([0, 1, 2], 2))


def untrained():
    config = tiny_experiment.get_config()
    config.phase.evaluator.epochs = 0.0
    return config


def test_another_order_than_that_of_the_pretrained_outputs_is_refused():
    with pytest.raises(UserError, match=REFUSED):
        class_order.check(untrained(), images(UNSORTED), OUTPUTS)


def test_the_order_of_numbered_classes_is_that_of_their_folders():
    numbers = ("0", "1", "2")  # as those of wsol_metadata
    class_order.check(untrained(), images(numbers, SORTED), OUTPUTS)
    with pytest.raises(UserError, match=REFUSED):
        class_order.check(untrained(), images(numbers, UNSORTED), OUTPUTS)


@pytest.mark.parametrize(
    ("config", "source", "pretrained"),
    [
        (untrained(), images(SORTED), OUTPUTS),
        (untrained(), images(("wren", "owl", "duck")), OUTPUTS),  # nothing tells the order
        (untrained(), images(UNSORTED), OUTPUTS - {"predictions"}),
        (tiny_experiment.get_config(), images(UNSORTED), OUTPUTS),  # training learns any order
    ],
)
def test_other_classes_are_allowed(config, source, pretrained):
    class_order.check(config, source, pretrained)
