"""Images that several tests of pipelines share."""
import pytest

from tests.data import drawn_images


@pytest.fixture(scope="module")
def images():
    """Ten images that differ everywhere, uint8 [H, W, 3]."""
    return drawn_images.draw()


@pytest.fixture(scope="module")
def source(images, encode):
    """The images as files in memory, JPEG and PNG in turn."""
    return drawn_images.source_of([encode(image, ("PNG", "JPEG")[i % 2]) for i, image in enumerate(images)])
