"""TFDS data sets without network: one that is prepared and read, and three of the catalogue with generated data."""
from __future__ import annotations

import functools
import io
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from ornet_tf.datasets import tfds
from ornet_tf.errors import UserError
from tests.datasets.tiny_tfds import BOX, CLASSES, ORIENTATIONS, TinyBirds, fraction, image

library = pytest.importorskip("tensorflow_datasets")
tf = pytest.importorskip("tensorflow")

@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    library.builder("tiny_birds", data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture
def load(data_dir, tmp_path):
    defaults = {"name": "tiny_birds", "data_dir": data_dir, "cache_dir": tmp_path, "boxes_key": "objects/bbox"}
    return lambda split, **options: tfds.load(split, **{**defaults, **options})


def test_images_are_not_encoded_again_and_training_has_no_boxes(load, tmp_path):
    source = load("train")
    assert len(source) == 10
    assert source.class_names == CLASSES
    assert source.boxes is None
    stored = {image(shade=10 * i): i % 3 for i in range(10)}
    assert [stored.pop(pathlib.Path(path).read_bytes()) for path in source.images] == source.labels.tolist()
    assert source.labels.dtype == np.int32
    assert all(pathlib.Path(path).is_relative_to(tmp_path / "tiny_birds" / "1.0.0") for path in source.images)
    assert all(path.endswith("/" + name) for path, name in zip(source.images, source.names))
    assert len(set(source.names)) == 10


def test_boxes_are_pixels_of_the_upright_image(load):
    source = load("test")
    orientations = set()
    for path, boxes in zip(source.images, source.boxes):
        with Image.open(path) as stored:
            orientations.add(stored.getexif()[0x0112])
            bright = np.asarray(ImageOps.exif_transpose(stored).convert("L")) > 127
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        expected = [[rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]]
        assert boxes.dtype == np.float32
        np.testing.assert_allclose(boxes, expected, atol=1e-3)
    assert orientations == set(ORIENTATIONS)


def test_another_feature_can_hold_the_boxes(load):
    boxes = load("test", boxes_key="head").boxes
    assert sorted(tuple(np.ptp(box.reshape(2, 2), axis=0).round(3)) for box in boxes) == [(8, 8)] * 8
    np.testing.assert_allclose(np.ptp(load("test").boxes[0].reshape(2, 2), axis=0).prod(), 16 * 40, rtol=1e-4)
    with pytest.raises(ValueError, match="set boxes_key to one of objects/bbox, head"):
        load("test", boxes_key=None)
    with pytest.raises(ValueError, match="one of objects/bbox, head, got 'bbox'"):
        load("test", boxes_key="bbox")


def test_parts_of_a_split_divide_it(load):
    splits = {"train": "train[:70%]", "validation": "train[70%:]"}
    train, validation = load("train", splits=splits), load("validation", splits=splits)
    assert (len(train), len(validation)) == (7, 3)
    assert len({pathlib.Path(path).read_bytes() for path in [*train.images, *validation.images]}) == 10
    np.testing.assert_allclose(np.concatenate(validation.boxes), [BOX] * 3, atol=1e-3)
    assert len(load("test", splits=splits)) == 8  # the default
    with pytest.raises(ValueError, match="no validation split is set; set splits.validation"):
        load("validation")


def test_a_second_load_reads_no_records(load, monkeypatch):
    first = load("test")
    monkeypatch.setattr(library.core.DatasetBuilder, "as_dataset", None)
    second = load("test")
    assert second.images == first.images
    np.testing.assert_array_equal(np.concatenate(second.boxes), np.concatenate(first.boxes))


def test_data_that_was_prepared_again_is_unpacked_again(load, monkeypatch, tmp_path_factory):
    assert len(load("train")) == 10
    monkeypatch.setattr(TinyBirds, "train_count", 4)
    again = tmp_path_factory.mktemp("again")
    assert len(load("train", data_dir=again, download=True)) == 4  # with the same cache_dir
    assert len(load("train")) == 10


def test_the_default_folder_of_files_is_beside_the_data(load, data_dir):
    (path, *_) = load("test", cache_dir=None).images
    assert pathlib.Path(path).is_relative_to(data_dir / "ornet_tf_files" / "tiny_birds" / "1.0.0")


def test_broken_images_are_unpacked_for_the_check_of_all_images(load):
    source = load("test", splits={"test": "mixed"})
    kinds = {pathlib.Path(path).suffix: pathlib.Path(path).read_bytes()[:4] for path in source.images}
    assert sorted(pathlib.Path(path).suffix for path in source.images) == [".jpg", ".other", ".other", ".png"]
    assert (kinds[".jpg"], kinds[".png"]) == (b"\xff\xd8\xff\xe0", b"\x89PNG")
    for path, boxes in zip(source.images, source.boxes):
        assert len(boxes) == (pathlib.Path(path).stat().st_size > 0)  # the boxes of an empty file can't be scaled


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"splits": {"test": "gifs"}}, ValueError, "split gifs: expected JPEG or PNG images, got none"),
        ({"splits": {"test": "unlabelled"}}, ValueError, "split unlabelled: expected labels from 0 to 2, got -1"),
        ({"splits": {"test": "tset"}}, ValueError, "expected a split of tiny_birds/1.0.0, got 'tset'"),
        ({"splits": {"testing": "test"}}, ValueError, "splits to name train, validation, test, got 'testing'"),
        ({"cache_dir": "gs://bucket/files"}, ValueError, "^tfds: cache_dir: expected a path of this machine, got 'gs:"),
        ({"data_dir": "~nosuchuser/tfds"}, UserError, "^tfds: data_dir: .* no user 'nosuchuser'"),
        ({"image_key": "photo"}, ValueError, "image_key .* kind Image .image, mask, depth., got 'photo', None"),
        ({"image_key": "label"}, ValueError, "image_key .* got 'label', ClassLabel"),
        ({"image_key": "depth"}, ValueError, "'depth' to be JPEG or PNG .*, got PNG of float32"),
        ({"label_key": "objects"}, ValueError, "label_key .* kind ClassLabel .label., got 'objects'"),
        ({"name": "tiny_brids"}, ValueError, "name of a TFDS data set, got 'tiny_brids': .*not found"),
        ({"name": "tiny_birds:9.0.0"}, ValueError, "got 'tiny_birds:9.0.0': .*9.0.0"),
        ({"name": "mnist", "boxes_key": None}, FileNotFoundError, "mnist.*'tfds build mnist', or set download"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing_behind(load, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        load("test", **options)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or "partial" in path.name]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match="pip install tensorflow-datasets"):
        tfds.load("train", name="mnist")


def test_an_image_without_objects_has_no_boxes(load):
    (boxes,) = load("test", splits={"test": "objectless"}).boxes
    assert boxes.shape == (0, 4)


def dataset_function(values):
    """Returns the `as_dataset_fn` of mock_data for these examples.

    The default of mock_data draws boxes with ends in any order, which the encoder of boxes refuses. Builder, features,
    encoding and decoding are those of the catalogue.
    """

    def as_dataset(self, split, decoders=None, **_):
        features = decoders.extract_features(self.info.features)
        encoded = [features.encode_example({key: value[key] for key in features}) for value in values]
        info = features.get_serialized_info()
        dataset = tf.data.Dataset.from_generator(
            lambda: iter(encoded),
            output_types=tf.nest.map_structure(lambda t: t.tf_dtype, info),
            output_shapes=tf.nest.map_structure(lambda t: t.shape, info),
        )
        return dataset.map(functools.partial(features.decode_example, decoders=decoders.decoders))

    return as_dataset


def test_caltech_birds_have_one_box_each(tmp_path):
    values = [
        {"image": np.zeros((30, 50, 3), np.uint8), "label": 7, "bbox": library.features.BBox(0.1, 0.2, 0.5, 1.0)},
        {"image": np.zeros((10, 20, 3), np.uint8), "label": 199, "bbox": library.features.BBox(0.0, 0.0, 1.0, 0.25)},
    ]
    with library.testing.mock_data(as_dataset_fn=dataset_function(values), data_dir=str(tmp_path)):
        source = tfds.load("test", name="caltech_birds2011")
        assert tfds.load("train", name="caltech_birds2011").boxes is None
    assert len(source.class_names) == 200
    np.testing.assert_array_equal(source.labels, [7, 199])
    np.testing.assert_allclose(np.concatenate(source.boxes), [[3, 10, 15, 50], [0, 0, 10, 5]], atol=1e-4)
    assert pathlib.Path(source.images[0]).is_relative_to(tmp_path / "ornet_tf_files" / "caltech_birds2011")


def test_stanford_dogs_have_any_number_of_boxes(tmp_path):
    flat = library.features.BBox(0.25, 0.25, 0.25, 0.75)  # left out, because it has no area
    objects = [[fraction(BOX), fraction((0, 0, 48, 80))], [], [fraction((1, 2, 3, 4)), flat]]
    values = [
        {"image": io.BytesIO(image()), "label": i, "objects": [{"bbox": b} for b in boxes]}
        for i, boxes in enumerate(objects)
    ]
    with library.testing.mock_data(as_dataset_fn=dataset_function(values), data_dir=str(tmp_path)):
        source = tfds.load("test", name="stanford_dogs", cache_dir=tmp_path / "files")
    assert len(source.class_names) == 120
    for boxes, expected in zip(source.boxes, [[BOX, (0, 0, 48, 80)], np.zeros((0, 4)), [(1, 2, 3, 4)]]):
        np.testing.assert_allclose(boxes, expected, atol=1e-4)
    assert [pathlib.Path(path).read_bytes() for path in source.images] == [image()] * 3


def test_grey_digits_have_no_boxes(tmp_path):
    with library.testing.mock_data(num_examples=5, data_dir=str(tmp_path)):
        source = tfds.load("test", name="mnist:3.0.1", cache_dir=tmp_path, download=True)
    assert source.boxes is None
    assert source.class_names == [str(digit) for digit in range(10)]
    for path in source.images:
        with Image.open(path) as digit:
            assert (digit.format, digit.mode, digit.size) == ("PNG", "L", (28, 28))
