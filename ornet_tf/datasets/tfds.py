"""Loads any classification data set of TensorFlow Datasets: https://www.tensorflow.org/datasets/catalog/overview.

The first load of a split copies its encoded images to one file each, below `cache_dir`. Files allow random access, and
the memory does not grow with the data set. Boxes are read if a feature holds them (`tfds.features.BBoxFeature`).
"""
from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from absl import logging

from ornet_tf import paths
from ornet_tf.data.source import SPLITS, MissingSplit, Source
from ornet_tf.datasets import _unpacked
from ornet_tf.errors import MissingPackageError, UserError

DEFAULT_SPLITS = types.MappingProxyType({"train": "train", "validation": None, "test": "test"})


def load(
    split: str,
    *,
    name: str,
    data_dir: str | os.PathLike | None = None,
    splits: Mapping[str, str | None] = DEFAULT_SPLITS,
    image_key: str = "image",
    label_key: str = "label",
    boxes_key: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    download: bool = False,
) -> Source:
    """Returns one split of a TFDS data set.

    Args:
      split: 'train' (without boxes), 'validation' or 'test' (with boxes where the data set has them).
      name: the data set, optionally with configuration and version: 'stanford_dogs', 'mnist:3.0.1'.
      data_dir: the folder of TFDS's prepared data, also a URL; None or "" for its default.
      splits: for each of our splits the split of TFDS, such as 'test' or 'train[90%:]', or None. Missing splits are
        those of the default.
      image_key: the feature that holds the image.
      label_key: the feature that holds the class.
      boxes_key: the feature that holds the boxes, with slashes between levels ('objects/bbox'); None for the only
        feature with boxes.
      cache_dir: the folder of the image files; None or "" for the folder ornet_tf_files in the folder of TFDS.
      download: whether TFDS may download and prepare missing data.

    Returns:
      The images in TFDS's order; their names are their paths below the folder of the split.

    Raises:
      FileNotFoundError: if the data set is not prepared and `download` is False.
      MissingPackageError: if tensorflow-datasets is not installed.
      UserError: for an unknown split, data set or feature, images that are neither JPEG nor PNG, examples without
        label, or a split without images.
    """
    tfds_split = _tfds_split(split, splits)
    library = _import_library()
    builder = _make_builder(library, name, data_dir)
    if download:
        builder.download_and_prepare()
    features = dict(builder.info.features.items())
    _check_features(library, features, image_key, label_key)
    boxes_path = _find_boxes(library, features, boxes_key)

    root = _cache_root(builder, cache_dir)
    folder = root / builder.info.full_name / _folder_name(builder, tfds_split, image_key, label_key, boxes_path)
    if not _unpacked.exists(folder):
        what = f"{builder.info.full_name}, split {tfds_split}"
        logging.info("Unpacking %s to %s.", what, folder)
        paths = [(label_key,), boxes_path] if boxes_path else [(label_key,)]
        records = library.as_numpy(_read_records(library, builder, tfds_split, image_key, *paths))
        examples = _examples(records, image_key, label_key, boxes_path)
        _unpacked.write(examples, folder, class_names=features[label_key].names, what=what)
    return _unpacked.read(folder, with_boxes=split != "train" and bool(boxes_path))


def _tfds_split(split: str, splits: Mapping[str, str | None]) -> str:
    if split not in SPLITS:
        raise UserError(f"tfds: expected split to be one of {', '.join(SPLITS)}, got {split!r}.")
    unknown = [key for key in splits if key not in SPLITS]
    if unknown:
        raise UserError(f"tfds: expected splits to name {', '.join(SPLITS)}, got {unknown[0]!r}.")
    tfds_split = {**DEFAULT_SPLITS, **splits}[split]
    if not tfds_split:
        raise MissingSplit(f"tfds: no {split} split is set; set splits.{split} to a TFDS split such as 'train[90%:]'.")
    return tfds_split


def _import_library() -> types.ModuleType:
    # tensorflow-datasets is optional: this module must be importable without it.
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise MissingPackageError("The tfds data set needs a package: pip install tensorflow-datasets.") from error
    return tensorflow_datasets


def _make_builder(library: types.ModuleType, name: str, data_dir: str | os.PathLike | None) -> Any:
    data_dir = paths.expand_home(os.fspath(data_dir), "tfds: data_dir") if data_dir else None
    try:
        return library.builder(name, data_dir=data_dir)
    except (AssertionError, ValueError) as error:  # unknown name or configuration; unknown version
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"tfds: expected the name of a TFDS data set, got {name!r}: {reason}") from error


def _check_features(library: types.ModuleType, features: Mapping[str, Any], image_key: str, label_key: str) -> None:
    """Raises UserError unless the features hold an encoded image and a class."""
    for key, option, kind in (
        (image_key, "image_key", library.features.Image),
        (label_key, "label_key", library.features.ClassLabel),
    ):
        if not isinstance(features.get(key), kind):
            fitting = ", ".join(name for name, feature in features.items() if isinstance(feature, kind))
            raise UserError(
                f"tfds: expected {option} to name a feature of kind {kind.__name__} ({fitting or 'none'}), got "
                f"{key!r}, {features.get(key)}."
            )
    image = features[image_key]
    if np.dtype(image.np_dtype).kind != "u" or image.encoding_format not in (None, "jpeg", "png"):
        raise UserError(
            f"tfds: expected the feature {image_key!r} to be JPEG or PNG with unsigned integers, got "
            f"{image.encoding_format or 'PNG'} of {np.dtype(image.np_dtype)}."
        )


def _find_boxes(library: types.ModuleType, features: Mapping[str, Any], key: str | None) -> tuple[str, ...]:
    """Returns the path of keys to the feature with the boxes; () if there is none."""
    found = {"/".join(path): path for path in _box_features(library, features)}
    if key is None and len(found) > 1:
        raise UserError(f"tfds: several features hold boxes; set boxes_key to one of {', '.join(found)}.")
    if key is not None and key not in found:
        raise UserError(f"tfds: expected boxes_key to be one of {', '.join(found) or 'none'}, got {key!r}.")
    return found[key] if key is not None else next(iter(found.values()), ())


def _box_features(library: types.ModuleType, features: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yields the path of each feature that holds a box or a sequence of boxes, [ymin, xmin, ymax, xmax] in 0..1."""
    kinds = library.features
    for key, feature in features.items():
        inner = feature.feature if type(feature) is kinds.Sequence else feature
        if isinstance(inner, kinds.BBoxFeature):
            # Data prepared by an older version of TFDS has no format, because there was only one.
            form = getattr(inner, "bbox_format", None)
            if form is None or form.name == "REL_YXYX":
                yield (key,)
            else:
                logging.warning("Feature %s is left out: expected boxes as REL_YXYX, got %s.", key, form.name)
        elif isinstance(inner, kinds.FeaturesDict):
            for rest in _box_features(library, inner):
                yield (key, *rest)


def _cache_root(builder: Any, cache_dir: str | os.PathLike | None) -> pathlib.Path:
    if cache_dir:
        return paths.local(cache_dir, "tfds: cache_dir")
    if "://" in str(builder.data_dir):
        raise UserError(f"tfds: set cache_dir to a folder on this machine; the data is at {builder.data_dir}.")
    # The folder of TFDS holds the data of `name/config/version` in a folder with this path.
    levels = len(builder.info.full_name.split("/"))
    return pathlib.Path(builder.data_dir).absolute().parents[levels - 1] / "ornet_tf_files"


def _folder_name(builder: Any, tfds_split: str, *options: Any) -> str:
    """Returns a folder name that depends on everything that the unpacked files depend on."""
    # The sizes differ if data was prepared again under the same version.
    sizes = [(s.name, s.num_bytes, s.shard_lengths) for s in builder.info.splits.values()]
    key = json.dumps([_unpacked.LAYOUT, tfds_split, options, sizes], default=str)
    readable = re.sub(r"[^A-Za-z0-9]+", "_", tfds_split).strip("_")
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _read_records(
    library: types.ModuleType, builder: Any, tfds_split: str, image_key: str, *paths: tuple[str, ...]
) -> Any:
    """Returns a tf.data.Dataset of examples in a fixed order, with the encoded image and the features of `paths`."""
    wanted: dict[str, Any] = {image_key: True}
    for first, *rest in paths:
        leaf: Any = True
        for key in reversed(rest):
            leaf = {key: leaf}
        wanted[first] = leaf
    try:
        return builder.as_dataset(
            split=tfds_split,
            decoders=library.decode.PartialDecoding(wanted, decoders={image_key: library.decode.SkipDecoding()}),
            shuffle_files=False,
            read_config=library.ReadConfig(try_autocache=False),  # autocache would hold small data sets in memory
        )
    except AssertionError:  # raised by TFDS if the data is not prepared
        raise FileNotFoundError(
            f"{builder.data_dir}: no prepared data; run 'tfds build {builder.name}', or set download to True."
        ) from None
    except ValueError as error:
        raise MissingSplit(
            f"tfds: expected a split of {builder.info.full_name}, got {tfds_split!r}: {error}"
        ) from error


def _examples(
    records: Iterable[Mapping[str, Any]], image_key: str, label_key: str, boxes_path: tuple[str, ...]
) -> Iterator[tuple[bytes, int, np.ndarray]]:
    """Yields (encoded image, label, boxes), with boxes [M, 4] in fractions of the stored image."""
    for record in records:
        boxes: Any = record if boxes_path else np.zeros((0, 4), np.float32)
        for key in boxes_path:
            boxes = boxes[key]
        yield record[image_key], int(record[label_key]), np.reshape(boxes, (-1, 4))
