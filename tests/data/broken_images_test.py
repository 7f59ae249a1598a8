"""Broken images stop a run or are left out."""
import numpy as np
import pytest

from ornet_tf.data import image_store, input_pipeline
from ornet_tf.data.source import Source


def source_of(files):
    labels = np.arange(len(files)) % 3
    return Source(["a", "b", "c"], files, [f"{i}.jpg" for i in range(len(files))], labels)


def first_batch(source, **options):
    options = {"seed": 5, "resize": 12, "crop": 10, "horizontal_flip": True, "cache": "memory", **options}
    return next(input_pipeline.training_batches(source, **options).as_numpy_iterator())


def keep_usable(source, broken_images):
    return input_pipeline.keep_usable(source, image_store.measure(source).broken, broken_images=broken_images)


@pytest.fixture(scope="module")
def good(encode):
    """A PNG and a JPEG file."""
    pixels = np.random.default_rng(7).integers(0, 256, (30, 40, 3), np.uint8)
    return encode(pixels), encode(pixels, "JPEG")


@pytest.fixture
def broken(good, tmp_path):
    """A source with five broken files among six good ones, and the names and reasons of the broken files."""
    png, jpeg = good
    gif = b"GIF89a" + b"\0" * 30
    contents = [png, jpeg[:400], jpeg, b"", png, b"no image\n", jpeg, gif, png, None, jpeg]
    paths = [tmp_path / f"{i}.jpg" for i in range(len(contents))]
    for path, content in zip(paths, contents):
        if content is not None:
            path.write_bytes(content)
    return source_of([str(path) for path in paths]), [
        ("1.jpg", "truncated or damaged JPEG"),
        ("3.jpg", "an empty file"),
        ("5.jpg", "neither JPEG nor PNG"),
        ("7.jpg", "a GIF; only JPEG and PNG are read"),
        ("9.jpg", "file not found"),
    ]


def test_broken_images_are_listed_in_order(broken, good):
    assert image_store.measure(broken[0]).broken == broken[1]
    assert image_store.measure(source_of(good)).broken == []


def test_broken_images_stop_with_the_whole_list(broken):
    with pytest.raises(ValueError, match="5 of 11 images cannot be used") as caught:
        keep_usable(broken[0], "stop")
    for name, reason in broken[1]:
        assert f"\n  {name}: {reason}" in str(caught.value)


def test_broken_images_are_left_out_and_logged(broken, caplog):
    with caplog.at_level("WARNING", logger="absl"):
        rest = keep_usable(broken[0], "skip")
    assert rest.names == [f"{i}.jpg" for i in (0, 2, 4, 6, 8, 10)]
    np.testing.assert_array_equal(rest.labels, broken[0].labels[[0, 2, 4, 6, 8, 10]])
    assert "3.jpg: an empty file" in caplog.text
    assert sorted(first_batch(rest, batch_size=6)["index"]) == list(range(6))


def test_a_source_without_broken_images_is_returned_unchanged(good):
    source = source_of(good)
    for choice in input_pipeline.BROKEN_IMAGES:
        assert keep_usable(source, choice) is source
    with pytest.raises(ValueError, match="one of stop, skip; got 'ignore'"):
        keep_usable(source, "ignore")


def test_a_source_of_broken_images_only_is_refused():
    with pytest.raises(ValueError, match="No usable image is left"):
        keep_usable(source_of([b"x", b""]), "skip")


def test_a_broken_image_is_named_when_the_cache_is_filled(broken):
    with pytest.raises(ValueError, match="7.jpg: a GIF"):
        first_batch(broken[0], batch_size=4)
