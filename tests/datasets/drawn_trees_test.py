"""The trees that rehearsals draw have the layout and the numbers of the real data sets."""
import collections

import numpy as np
import pytest
from PIL import Image

from benchmarks import _drawn_trees
from ornet_tf.datasets import cub, imagenet


def assert_boxes_are_those_of_the_discs(source, count):
    """Checks that the middle of a box has one colour, as a disc, and that its corners have noise, as the rest."""
    for index in np.linspace(0, len(source) - 1, count).astype(int):
        pixels = np.asarray(Image.open(source.images[index]), float)
        (top, left, bottom, right), = source.boxes[index].astype(int)
        side = bottom - top
        assert side == right - left
        middle = pixels[top + side // 3 : bottom - side // 3, left + side // 3 : right - side // 3]
        outside = np.concatenate([pixels[:top].reshape(-1, 3), pixels[bottom:].reshape(-1, 3)])
        assert middle.std(axis=(0, 1)).max() < 20 and outside.std(axis=0).min() > 40, source.names[index]


@pytest.mark.slow
def test_cub_has_the_numbers_of_the_real_one(tmp_path):
    _drawn_trees.draw_cub(tmp_path, 40, 30)
    train, test = (cub.load(split, root=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test), len(train.class_names)) == (5994, 5794, 200)
    assert {*collections.Counter(train.labels.tolist()).values()} == {29, 30}
    assert_boxes_are_those_of_the_discs(test, 20)


@pytest.mark.slow
def test_imagenet_has_all_classes_and_a_box_for_each_image(tmp_path):
    _drawn_trees.draw_imagenet(tmp_path, 40, 30, train=7003, val=20)
    files = {"synsets": tmp_path / _drawn_trees.SYNSETS, "val_labels": tmp_path / _drawn_trees.SOLUTION}
    options = {"root": tmp_path / "Data", "boxes": tmp_path / "Annotations", **files}
    train, test = (imagenet.load(split, **options) for split in ("train", "test"))
    held_out = imagenet.load("validation", **options, validation_per_class=1)
    assert (len(train), len(test), len(held_out), len(train.class_names)) == (7003, 20, 1000, 1000)
    assert {*collections.Counter(train.labels.tolist()).values()} == {7, 8}
    assert_boxes_are_those_of_the_discs(held_out, 20)  # most are hard links
    assert_boxes_are_those_of_the_discs(test, 20)
