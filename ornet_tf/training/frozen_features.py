"""Computes the features of frozen parts once for all phases of a run and caches them in scratch files.

This needs few views per image: one, or two with the mirror image, if crops are not random or the crop is the whole
resized image. Feature maps are stored with 16 bits a value; float16 rounds values above
6e-5 by at most 1/2048 of their value.
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from absl import logging

from ornet_tf.data import image_cache, image_store, input_pipeline, transforms
from ornet_tf.data.scratch_file import ScratchArray
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError
from ornet_tf.methods import FrozenFeature, Method
from ornet_tf.models import winograd

_BATCH = 8  # images; shallow features of larger batches would need more memory than training


def check_method(method: Method, where: str = "") -> None:
    """Checks that a method has features to cache.

    Args:
      method: the method.
      where: the config path of the phase, ending in a dot, for error messages.

    Raises:
      UserError: if the method has no frozen part, or its frozen part does not see the unchanged images.
    """
    if not hasattr(method, "frozen_features"):
        raise UserError(
            f"{where}cache_frozen_features: expected False, as this method has no frozen part that sees unmasked "
            "images, got True. options.freeze_lower = True allows it; an evaluator also needs mask_probability = 0."
        )


class CachedFeatures:
    """The cached features that one phase reads, for each view of each image."""

    def __init__(self, tables: Mapping[str, ScratchArray], dtypes: Mapping[str, tf.DType]):
        """Keeps the tables.

        Args:
          tables: name -> [N, V, ...]: the features of the V views of N images.
          dtypes: name -> the type that `lookup` returns.
        """
        self._tables, self._dtypes = tables, dtypes

    def lookup(self, index: tf.Tensor, mirrored: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the cached features of a batch.

        Args:
          index: int64 [b], the indices of the images.
          mirrored: bool [b].

        Returns:
          The features of these views by name, [b, ...].
        """
        with tf.device("/CPU:0"):  # otherwise a GPU would get a copy of the tables in each step
            position = tf.stack([index, tf.cast(mirrored, tf.int64)], axis=1)
            found = {name: tf.gather_nd(table.tensor, position) for name, table in self._tables.items()}
        return {name: tf.cast(values, self._dtypes[name]) for name, values in found.items()}

    def read(self, start: int, stop: int) -> dict[str, tf.Tensor]:
        """Returns the features of the images start..stop-1 by name, [stop - start, V, ...]."""
        with tf.device("/CPU:0"):
            found = {name: table.tensor[start:stop] for name, table in self._tables.items()}
        return {name: tf.cast(values, self._dtypes[name]) for name, values in found.items()}

    def with_table(self, name: str, table: ScratchArray, dtype: tf.DType) -> CachedFeatures:
        """Returns these features and those of another table; see the constructor."""
        return CachedFeatures({**self._tables, name: table}, {**self._dtypes, name: dtype})

    def release_memory(self) -> None:
        """Unmaps the parts of the scratch files that were read; see `ScratchArray.release_memory`."""
        for table in self._tables.values():
            table.release_memory()


class FrozenFeatures:
    """The cached features of a run. Phases whose frozen parts have equal weights share them.

    Attributes:
      folder: the folder of the scratch files.
    """

    def __init__(
        self,
        source: Source,
        *,
        resize: int,
        crop: int,
        horizontal_flip: bool,
        cache: str = "none",
        cache_dir: str,
    ):
        """Computes nothing yet.

        Args:
          source: the training images.
          resize: side of the resized images, in pixels.
          crop: side of the crop, in pixels; it is centred.
          horizontal_flip: whether images are mirrored at random.
          cache: the kind of the image cache that the images are read from; see `input_pipeline.training_batches`.
          cache_dir: the folder of the scratch files, and of the image cache "disk".
        """
        self._source, self._resize, self._crop = source, resize, crop
        self._views = 2 if horizontal_flip else 1
        self._cache, self.folder = cache, cache_dir
        self._tables: dict[str, ScratchArray] = {}  # digest of the weights -> features

    def of(self, method: Method, *, keep_all: bool = False) -> CachedFeatures:
        """Returns the features that a method's `forward` reads; computes those that no earlier phase has left.

        Args:
          method: the method; its frozen parts have their final weights.
          keep_all: whether to keep all its frozen features for later phases, instead of those that it reads.

        Raises:
          UserError: if the method has no features to cache, or a feature has no place in 16 bits.
          OSError: if the disk has too little space.
        """
        check_method(method)
        chain = method.frozen_features()
        digests = _digests(chain)
        kept = [feature for feature in chain if keep_all or feature.is_read]
        self._tables = {d: table for d, table in self._tables.items() if d in {digests[f.name] for f in kept}}
        missing = [feature.name for feature in kept if digests[feature.name] not in self._tables]
        if missing:
            self._compute(chain, {name: digests[name] for name in missing})
        read = [feature for feature in chain if feature.is_read]
        return CachedFeatures(
            {feature.name: self._tables[digests[feature.name]] for feature in read},
            {feature.name: tf.as_dtype(feature.model.output.dtype) for feature in read},
        )

    def images(self) -> tf.data.Dataset:
        """Returns the evaluation views of all images, in order and in batches: float32 [b, H, W, 3] in 0..255."""
        cache = image_cache.choose_kind(self._cache, self._source, side=self._resize)
        load = input_pipeline.image_loader(self._source, self._resize, cache, self.folder)
        view = transforms.evaluation_view(resize=self._resize, crop=self._crop)

        def load_view(index):
            image, frame = load(index)
            return transforms.apply(image, view, resize=self._resize, crop=self._crop, frame=frame)

        dataset = image_store.parallel_map(tf.data.Dataset.range(len(self._source)), load_view)
        return input_pipeline.with_prefetch(dataset.batch(_BATCH))

    def _compute(self, chain: list[FrozenFeature], digests: Mapping[str, str]) -> None:
        """Computes the features named in `digests` for all views of all images, in one pass."""
        kernels = winograd.MappedKernels()

        @tf.function(reduce_retracing=True, autograph=False)
        def compute(images):
            views = [_features(chain, view, kernels) for view in (images, tf.reverse(images, [2]))[: self._views]]
            return {name: _for_storage(tf.stack([view[name] for view in views], axis=1)) for name in digests}

        names = ", ".join(digests)
        logging.info("Computing %s of %d views of %d images.", names, self._views, len(self._source))
        start = 0
        for batch in self.images():
            for name, values in compute(batch).items():
                if not bool(tf.reduce_all(tf.math.is_finite(values))):
                    raise UserError(
                        f"cache_frozen_features: expected finite values of {name} below 65,504, the largest float16; "
                        "got larger ones or NaN. Are the weights finite, and those of this backbone? If so, train anew "
                        "without cache_frozen_features, and with precision = 'float32' or 'bfloat16'."
                    )
                if digests[name] not in self._tables:
                    self._tables[digests[name]] = ScratchArray(
                        (len(self._source), *values.shape[1:]),
                        values.dtype.as_numpy_dtype,
                        folder=self.folder,
                        what=f"cache_frozen_features: {name} of all images",
                        remedy="with another config.input.cache_dir",
                    )
                self._tables[digests[name]].array[start : start + len(batch)] = values.numpy()
                self._tables[digests[name]].release_memory()
            start += len(batch)


def _features(
    chain: list[FrozenFeature], images: tf.Tensor, kernels: winograd.MappedKernels
) -> dict[str, tf.Tensor]:
    features, outputs = {}, images
    with winograd.enable(kernels):  # as in a training step
        for name, model, _ in chain:
            features[name] = outputs = model(outputs, training=False)
    return features


def _for_storage(values: tf.Tensor) -> tf.Tensor:
    """Returns feature maps [b, V, h, w, C] with 16 bits a value; vectors [b, V, C], which need no space, unchanged."""
    return tf.cast(values, tf.float16) if values.dtype == tf.float32 and values.shape.rank == 5 else values


def _digests(chain: list[FrozenFeature]) -> dict[str, str]:
    """Returns name -> digest of all weights, and types, that a feature depends on."""
    digest, digests = hashlib.sha256(), {}
    for name, model, _ in chain:
        digest.update(f"{name} {tf.as_dtype(model.output.dtype).name} {model.output_shape}".encode())
        for weight in model.get_weights():
            digest.update(np.ascontiguousarray(weight).data)
        digests[name] = digest.hexdigest()
    return digests
