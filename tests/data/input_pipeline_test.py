"""The order, content and repeatability of batches; broken_images_test.py tests broken images."""
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf import randomness
from ornet_tf.data import input_pipeline
from tests.data.drawn_images import source_of

RESIZE, CROP = 24, 20


def training(source, count, **changes):
    options = {"batch_size": 4, "seed": 5, "resize": RESIZE, "crop": CROP, "horizontal_flip": True, "cache": "memory"}
    batches = input_pipeline.training_batches(source, **{**options, **changes})
    return list(itertools.islice(batches.as_numpy_iterator(), count))


def indices(batches):
    return np.concatenate([batch["index"] for batch in batches])


def are_equal(batches, others):
    """Whether two lists of batches are the same to the last bit."""
    return len(batches) == len(others) and all(
        set(a) == set(b) and all(a[key].dtype == b[key].dtype and np.array_equal(a[key], b[key]) for key in a)
        for a, b in zip(batches, others)
    )


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_training_batches_have_the_documented_shapes_types_and_ranges(source, cache):
    options = {"seed": 5, "resize": RESIZE, "crop": CROP, "horizontal_flip": True, "cache": cache}
    assert input_pipeline.training_batches(source, batch_size=4, **options).element_spec == {
        "image": tf.TensorSpec([4, CROP, CROP, 3], tf.float32),
        "mirrored": tf.TensorSpec([4], tf.bool),
        "label": tf.TensorSpec([4], tf.int32),
        "index": tf.TensorSpec([4], tf.int64),
        "key": tf.TensorSpec([4, 2], tf.int64),
    }
    for batch in training(source, 3, cache=cache):
        np.testing.assert_array_equal(batch["label"], source.labels[batch["index"]])
        assert batch["image"].max() > 240  # in 0..255, not scaled
        np.testing.assert_array_equal(batch["image"], np.rint(batch["image"]))


def test_every_training_image_is_a_crop_of_its_file(source, images):
    resized = [np.asarray(Image.fromarray(p).resize((RESIZE, RESIZE), Image.Resampling.BILINEAR)) for p in images]
    places = set()
    for batch in training(source, 20):
        for image, index in zip(batch["image"], batch["index"]):
            if index % 2:  # JPEG compression changes noise
                continue
            crops = {
                (top, left, flip): resized[index][top:top + CROP, left:left + CROP][:, ::1 - 2 * flip]
                for top, left, flip in itertools.product(range(RESIZE - CROP + 1), range(RESIZE - CROP + 1), (0, 1))
            }
            (place,) = [place for place, crop in crops.items() if np.abs(image - crop).max() <= 1]
            places.add((index, *place))
    assert len(places) > 25  # of about 40 draws from 50 places for each image


def test_an_epoch_has_each_image_once(source):
    batches = training(source.select(range(8)), 8)
    epochs = indices(batches).reshape(4, 8)
    for epoch in epochs:
        assert sorted(epoch) == list(range(8))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_the_remaining_images_of_an_epoch_are_dropped_and_differ(source):
    assert input_pipeline.steps_per_epoch(source, 4) == 2
    epochs = indices(training(source, 40)).reshape(20, 8)
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    dropped = [frozenset(range(10)) - set(epoch) for epoch in epochs]
    assert len(set(dropped)) > 10
    assert set.union(*map(set, dropped)) == set(range(10))


def test_the_order_is_uniform(source):
    epochs = indices(training(source, 600, batch_size=10, resize=4, crop=4)).reshape(600, 10)
    for place in range(10):
        counts = np.bincount(epochs[:, place], minlength=10)
        assert np.abs(counts - 60).max() < 5 * np.sqrt(600 * 0.1 * 0.9)
    follows = np.zeros((10, 10))
    np.add.at(follows, (epochs[:, :-1].ravel(), epochs[:, 1:].ravel()), 1)
    assert np.abs(follows[~np.eye(10, dtype=bool)] - 60).max() < 5 * np.sqrt(60)


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("first_step", [5, 1_000_000_000])
def test_a_resumed_run_gets_the_batches_of_an_uninterrupted_run(source, cache, first_step):
    length, before = (7, first_step) if first_step < 7 else (12, 8)
    sequence = training(source, length, cache=cache, first_step=first_step - before)
    assert are_equal(sequence[before:], training(source, length - before, cache=cache, first_step=first_step))


@pytest.mark.parametrize("options", [{}, {"first_step": 3, "resize": 32}])  # with 32, only views are resized
def test_batches_are_repeatable_and_the_same_with_any_cache(source, tmp_path, options):
    expected = training(source, 7, **options)
    for cache in ("memory", "none", "auto"):
        assert are_equal(expected, training(source, 7, cache=cache, **options))
    for _ in range(2):  # the second source reuses the file of the first
        again = source.select(range(len(source)))
        assert are_equal(expected, training(again, 7, cache="disk", cache_dir=str(tmp_path / "cache"), **options))


def test_keys_are_functions_of_seed_epoch_and_index(source):
    batches = training(source.select(range(8)), 4)
    for step, batch in enumerate(batches):
        expected = randomness.key(5, tf.constant(step // 2, tf.int64), tf.constant(batch["index"]))
        np.testing.assert_array_equal(batch["key"], expected)


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("shares", [[(0, 4, 4)], [(0, 1, 4), (1, 2, 4), (3, 1, 4)]])
def test_the_shares_of_all_processes_are_the_global_batch(source, cache, shares):
    expected = training(source, 5, cache=cache, first_step=1)
    shares = [input_pipeline.Share(*share) for share in shares]
    parts = [training(source, 5 * share.local, cache=cache, first_step=1, share=share) for share in shares]
    for step, batch in enumerate(expected):
        rows = [p for part, share in zip(parts, shares) for p in part[step * share.local : (step + 1) * share.local]]
        for key, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([part[key] for part in rows]), value)


def test_images_of_skipped_steps_and_other_processes_are_not_read(source, images, encode, tmp_path):
    order = indices(training(source, 4))  # two epochs
    paths = [tmp_path / f"{i}.png" for i in range(10)]
    for path, image in zip(paths, images):
        path.write_bytes(encode(image))
    on_disk = source_of([str(path) for path in paths])
    needed = order[8:16].reshape(2, 2, 2)[:, 1].ravel()  # the images of the second replica from step 2 on
    for index in set(range(10)) - set(needed):
        paths[index].write_bytes(b"broken")
    share = input_pipeline.Share(1, 1, 2)
    batches = input_pipeline.training_batches(
        on_disk, batch_size=4, seed=5, resize=RESIZE, crop=CROP, horizontal_flip=True, first_step=2, share=share
    )
    np.testing.assert_array_equal(indices(list(batches.take(2).as_numpy_iterator())), needed)


@pytest.mark.parametrize("change", [{"seed": 6}, {"horizontal_flip": False}, {"first_step": 1}])
def test_batches_depend_on_the_arguments(source, change):
    assert not are_equal(training(source, 4), training(source, 4, **change))


def test_views_differ_between_images_epochs_and_seeds(encode):
    same = source_of([encode(np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8))] * 8)
    images = np.concatenate([batch["image"] for seed in (5, 6) for batch in training(same, 4, crop=16, seed=seed)])
    assert len({image.tobytes() for image in images}) > 24  # 32 draws from 162 views


def test_paths_and_bytes_give_the_same_batches(source, tmp_path):
    paths = [str(tmp_path / name) for name in source.names]
    for path, content in zip(paths, source.images):
        tf.io.write_file(path, content)
    assert are_equal(training(source, 3), training(source_of(paths), 3))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch_size": 11}, "batch_size must lie in 1..10, the number of images; got 11"),
        ({"batch_size": 0}, "batch_size must lie in 1..10"),
        ({"seed": -1}, "seed must lie in"),
        ({"seed": 2**31}, "seed must lie in"),
        ({"first_step": -1}, "first_step must not be negative"),
        ({"crop": 25}, "crop must lie in 1..resize"),
        ({"cache": "ram"}, "cache must be one of none, memory, disk, auto; got 'ram'"),
        ({"share": input_pipeline.Share(0, 1, 3)}, "batch_size must be a multiple of the 3 replicas; got 4"),
        ({"share": input_pipeline.Share(2, 1, 2)}, "batch_size must be a multiple of the 2 replicas; got 4"),
        ({"share": input_pipeline.Share(0, 0, 2)}, "batch_size must be a multiple of the 2 replicas; got 4"),
    ],
)
def test_arguments_out_of_range_are_errors(source, change, message):
    with pytest.raises(ValueError, match=message):
        training(source.select(range(10)), 1, **change)


def test_a_data_set_may_have_a_single_image(source):
    assert indices(training(source.select([3]), 5, batch_size=1)).tolist() == [0] * 5
