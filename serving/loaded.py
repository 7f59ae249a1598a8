"""Loads an export into this process and asks it like a served model, without a server."""
from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from ornet_tf.errors import ImageRefusedError, UserError
from ornet_tf.inference import detections, encoding
from serving import model_store
from serving.errors import Code, RequestError, cut_for_people


class LoadedModel:
    """One version of an exported model. Several threads may call its methods at once."""

    def __init__(self, path: str | os.PathLike):
        """Loads the SavedModel in the version folder `path`; see `load`."""
        # TensorFlow takes seconds to import. A path without an export is reported before.
        from serving.saved_model import SavedModel

        self.path = pathlib.Path(path)
        try:
            self._model = SavedModel(path)
        except Exception as error:  # a damaged SavedModel fails in many ways, some of them protobuf's own
            if isinstance(error, OSError) and error.errno:  # an error of the system; TensorFlow's have no number
                raise
            first, _, _ = str(error).strip().partition("\n")
            raise UserError(
                f"The SavedModel in {path} does not load; export it again: {cut_for_people(first)}"
            ) from error
        self._takes_pixels = "image_tensor" in self._model.metadata()

    def localize(
        self, images: Sequence[encoding.ImageInput], *, signature: str = "serving_default", batch_size: int = 16
    ) -> list[detections.Detections]:
        """Finds the objects in each image.

        Args:
          images: paths or bytes of JPEG or PNG files, or RGB uint8 [H, W, 3].
          signature: a signature that takes encoded images: `serving_default`, `localize` (boxes only), `activation_map`
            (the map as uint8) or `activation_map_float`.
          batch_size: the largest number of images that are in the graph at once.

        Returns:
          One result per image, in order. An image that cannot be decoded has a `status` and no objects.

        Raises:
          OSError: if a file cannot be read.
          TypeError: if something is not an image, or `images` is a single image.
          ValueError: if an array has a shape that no image has.
          UserError: if the export lacks the signature, or the signature gives no detections.
          ImageRefusedError: a UserError, if an image cannot be decoded and the export is from before `status`.
        """
        encoding.check_is_list(images)
        results = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            pixels = _stack(batch) if self._takes_pixels and signature == "serving_default" else None
            if pixels is not None:  # the graph gets the same pixels without encoding them as PNG
                outputs = self._run("image_tensor", pixels)
            else:
                outputs = self._run(signature, np.array([encoding.encode(image) for image in batch], object))
            with detections.explain_wrong_outputs(f"{signature!r} of {self.path}"):
                results += detections.from_outputs(outputs, len(batch))
        return results

    def _run(self, signature: str, images: np.ndarray) -> dict[str, np.ndarray]:
        try:
            inputs = self._model.inputs(signature)
            if list(inputs.values()) != ["uint8" if images.dtype == np.uint8 else "string"]:
                raise UserError(
                    f"Expected a signature of encoded images, but {signature!r} of {self.path} takes "
                    f"{', '.join(f'{name} ({kind})' for name, kind in sorted(inputs.items()))}; name another."
                )
            return self._model.run(signature, dict.fromkeys(inputs, images))
        except RequestError as error:
            kind = ImageRefusedError if error.code == Code.INVALID_ARGUMENT else UserError
            raise kind(f"The model in {self.path} refuses: {cut_for_people(error.message)}") from None

    def close(self) -> None:
        """Does nothing: there is no connection. Models behind a server have the same method."""


def _stack(images: Sequence[encoding.ImageInput]) -> np.ndarray | None:
    """Returns the pixels of images of one size, uint8 [N, H, W, 3], or None if the images are something else."""
    first = images[0]
    are_alike = all(isinstance(i, np.ndarray) and i.dtype == np.uint8 and i.shape == first.shape for i in images)
    return np.stack(images) if are_alike and first.size and first.ndim == 3 and first.shape[-1] == 3 else None


def find(path: str | os.PathLike) -> pathlib.Path:
    """Returns the folder of a version: `path` itself, or the newest version in it. TensorFlow is not imported.

    Raises:
      FileNotFoundError: if there is no export.
    """
    folder = pathlib.Path(path)
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = model_store.find_versions(folder) if folder.is_dir() else {}
    if not versions:
        raise FileNotFoundError(
            f"Expected an export, a folder with saved_model.pb or with numbered folders of that kind, in {path}, "
            "but found none; python -m ornet_tf.export writes one."
        )
    return versions[max(versions)]


def load(path: str | os.PathLike) -> LoadedModel:
    """Loads an exported model to ask it without a server.

    Args:
      path: the folder of a version, such as runs/mine/export/2, or the folder above, which stands for its newest
        version.

    Raises:
      FileNotFoundError: if there is no export.
      UserError: if the export does not load.
    """
    return LoadedModel(find(path))
