import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from ornet_tf.data.pillow_errors import UNREADABLE
from tests import broken_files, damaged_metadata


def read(file):
    """Reads header, EXIF, orientation and pixels as our code does; returns the error's class, or None."""
    try:
        with Image.open(io.BytesIO(file)) as image:
            image.getexif()
            np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UNREADABLE as error:
        return type(error)
    return None


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_raise_only_these_errors():
    files = [*damaged_metadata.kinds().values(), *damaged_metadata.mutated(np.random.default_rng(0), 2000)]
    rng = np.random.default_rng(1)
    good = broken_files.good_files(rng)
    files += [broken_files.broken(rng, good[i % len(good)], good[0])[1] for i in range(300)]
    found = {read(file) for file in files}
    assert len(found - {None}) >= 5  # the files show more than OSError
    assert {SyntaxError, TypeError} <= found
    assert None in found


def test_errors_that_no_image_causes_are_not_among_them():
    for error in (KeyboardInterrupt, SystemExit, NameError, ImportError):
        assert not issubclass(error, UNREADABLE)
