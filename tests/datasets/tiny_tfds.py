"""A small TFDS data set, which the tests prepare and read."""
from __future__ import annotations

import io

import numpy as np
import tensorflow_datasets as library
from PIL import Image

# (height, width) of the stored images and the box (ymin, xmin, ymax, xmax) of the bright object in each.
SIZE, BOX = (48, 80), (8, 16, 24, 56)
ORIENTATIONS = range(1, 9)
CLASSES = ["wren", "owl", "kiwi"]


def image(orientation=1, file_format="JPEG", shade=0):
    pixels = np.full((*SIZE, 3), shade, np.uint8)
    pixels[BOX[0] : BOX[2], BOX[1] : BOX[3]] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    options = {"quality": 95, "exif": exif} if file_format == "JPEG" else {}
    Image.fromarray(pixels).save(stream, file_format, **options)
    return stream.getvalue()


def fraction(box=BOX):
    ymin, xmin, ymax, xmax = box
    return library.features.BBox(ymin / SIZE[0], xmin / SIZE[1], ymax / SIZE[0], xmax / SIZE[1])


class TinyBirds(library.core.GeneratorBasedBuilder):
    """Images of an object with two kinds of boxes, and splits with unusual images, labels and objects."""

    VERSION = library.core.Version("1.0.0")
    train_count = 10

    def _info(self):
        kinds = library.features
        features = {
            "image": kinds.Image(),
            "label": kinds.ClassLabel(names=CLASSES),
            "objects": kinds.Sequence({"bbox": kinds.BBoxFeature(), "size": np.float32}),
            "head": kinds.BBoxFeature(),
            # Bytes that can't be decoded: these features must not be read.
            "mask": kinds.Image(shape=(None, None, 1)),
            "depth": kinds.Image(shape=(None, None, 1), dtype=np.float32),
        }
        return library.core.DatasetInfo(builder=self, features=kinds.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        gif = image(file_format="GIF")
        return {
            "train": self._examples([image(shade=10 * i) for i in range(self.train_count)]),
            "test": self._examples([image(i) for i in ORIENTATIONS]),
            "mixed": self._examples([gif, image(), b"", image(file_format="PNG")]),
            "gifs": self._examples([gif, gif]),
            "unlabelled": self._examples([image()], label=-1),
            "objectless": self._examples([image()], objects=[]),
        }

    def _generate_examples(self):
        raise NotImplementedError

    def _examples(self, encoded, label=None, objects=(BOX,)):
        for i, data in enumerate(encoded):
            yield i, {
                "image": io.BytesIO(data),
                "label": i % len(CLASSES) if label is None else label,
                "objects": [{"bbox": fraction(box), "size": 1.0} for box in objects],
                "head": fraction((8, 16, 16, 24)),
                "mask": io.BytesIO(b"not an image"),
                "depth": np.zeros((2, 2, 1), np.float32),
            }
