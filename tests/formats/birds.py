"""Four images of birds for tests of formats: with two boxes, turned by EXIF, with a name taken, and without a box."""
import numpy as np
from PIL import Image

from ornet_tf.formats import Box, LocalizedImage

CLASS_NAMES = ["sparrow & co", "wren", "eagle"]
# Height and width of the upright images.
SIZES = {"wren/a.jpg": (300, 400), "sparrow/b.jpg": (300, 200), "wren/a.png": (48, 64), "wren/none.jpg": (50, 50)}
_BOXES = {
    "wren/a.jpg": [((0.1, 0.2, 0.5, 0.75), 1, 0.8), ((0.5, 0.5, 1.0, 1.0), 1, 0.25)],
    "sparrow/b.jpg": [((0.1, 0.2, 0.5, 0.7), 0, 0.6)],
    "wren/a.png": [((0.0, 0.0, 1.0, 1.0), 1, None)],
    "wren/none.jpg": [],
}


def images(root="birds"):
    """The images; their files are in the folder `root`."""
    result, number = [], 1
    for index, (name, (height, width)) in enumerate(SIZES.items(), 1):
        boxes = []
        for corners, label, score in _BOXES[name]:
            boxes.append(Box(corners, label, CLASS_NAMES[label], score, number))
            number += 1
        result.append(LocalizedImage(f"{root}/{name}", name, index, width, height, tuple(boxes)))
    return result


def write_files(root):
    """Writes the image files to a folder; b.jpg is stored lying, with the EXIF orientation 6."""
    for name, (height, width) in SIZES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if name == "sparrow/b.jpg":
            width, height = height, width
            exif[0x0112] = 6
        Image.new("RGB", (width, height)).save(path, exif=exif.tobytes())


def random_images(seed, count=20):
    """Images of random sizes with random boxes, all in one folder."""
    rng = np.random.default_rng(seed)
    result, number = [], 1
    for index in range(1, count + 1):
        width, height = (int(side) for side in rng.integers(2, 5000, 2))
        boxes = []
        for _ in range(rng.integers(0, 4)):
            first, last = np.sort(rng.uniform(size=[2, 2]), axis=0)
            corners = tuple(float(value) for value in np.float32([*first, *last]))
            label = int(rng.integers(len(CLASS_NAMES)))
            boxes.append(Box(corners, label, CLASS_NAMES[label], float(rng.uniform()), number))
            number += 1
        name = f"{index}.jpg"
        result.append(LocalizedImage(f"birds/{name}", name, index, width, height, tuple(boxes)))
    return result
