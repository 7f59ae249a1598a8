import numpy as np
import pytest

from ornet_tf.data.source import Source
from ornet_tf.errors import UserError
from ornet_tf.training import class_order

SORTED, UNSORTED = ("n01440764", "n01443537", "n02012849"), ("n01440764", "n02012849", "n01443537")
REFUSED = "ascending order of the synset ids, .*, got n01443537 after n02012849. Sort .*evaluator.epochs above 0"


def images(class_names, folders=("a", "b", "c")):
    names = [f"train/{folder}/{number}.JPEG" for folder in folders for number in range(2)]
    return Source(class_names, names, names, np.repeat([0, 1, 2], 2))


def test_another_order_than_that_of_the_pretrained_outputs_is_refused():
    class_order.check("evaluator", images(SORTED))
    with pytest.raises(UserError, match=REFUSED):
        class_order.check("evaluator", images(UNSORTED))


def test_a_class_that_is_there_twice_is_refused():
    names = [f"{folder}/{SORTED[0]}/0.JPEG" for folder in ("train", "more")]
    with pytest.raises(UserError, match="got n01440764 after n01440764"):
        class_order.check("evaluator", Source(["0", "1"], names, names, np.array([0, 1])))


def test_the_order_of_numbered_classes_is_that_of_their_folders():
    numbers = ("0", "1", "2")  # as those of wsol_metadata
    class_order.check("evaluator", images(numbers, SORTED))
    with pytest.raises(UserError, match=REFUSED):
        class_order.check("evaluator", images(numbers, UNSORTED))


def test_a_label_of_two_synsets_is_refused():
    names = [f"train/{synset}/0.JPEG" for synset in SORTED]
    with pytest.raises(UserError, match=r"got n01440764 and n01443537 \(train/n01443537/0.JPEG\) for the label 0"):
        class_order.check("evaluator", Source(["0", "1"], names, names, np.array([0, 0, 1])))


def test_nothing_tells_the_order_of_other_names():
    class_order.check("evaluator", images(("wren", "owl", "duck")))
