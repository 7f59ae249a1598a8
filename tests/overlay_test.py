"""Overlays in the frame of the export."""
import numpy as np
import pytest
from PIL import Image

from serving import overlay
from tests import tiny_export


@pytest.mark.parametrize(("name", "height", "width"), [("turned.jpg", 80, 60), ("as_it_is.png", 60, 80)])
def test_the_box_is_drawn_in_the_frame_of_the_export(tmp_path, name, height, width):
    # Orientation 6: the upright picture is the stored one turned clockwise. The export reads it from JPEG files only.
    stored = Image.new("RGB", (80, 60), (0, 0, 200))
    exif = stored.getexif()
    exif[0x0112] = 6
    stored.save(tmp_path / name, exif=exif)
    overlay.draw(tmp_path / name, [[0.5, 0.25, 1.0, 0.75]], "", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as picture:
        pixels = np.asarray(picture).astype(int)
    assert pixels.shape == (height, width, 3)
    red = (pixels[..., 0] > 200) & (pixels[..., 2] < 50)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    edges = (rows[0], rows[-1], columns[0], columns[-1])
    assert edges == (height // 2, height - 1, width // 4, 3 * width // 4 - 1)
    assert not red[height // 2 + 10 : height - 10, width // 4 + 10 : width // 4 + 20].any()


def test_sixteen_bits_of_grey_are_scaled(tmp_path):
    Image.fromarray(np.full([40, 40], 0x40FF, np.uint16)).save(tmp_path / "grey.png")
    overlay.draw(tmp_path / "grey.png", [[0, 0, 0.2, 0.2]], "", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.getpixel((30, 30)) == (0x40, 0x40, 0x40)


def test_overlays_of_boxes_at_and_without_extent(tmp_path):
    path = tiny_export.write_picture(tmp_path / "a.png", 8, 8, (0, 0, 1, 1))
    for box in ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0], [1, 1, 1, 1]):
        overlay.draw(path, [box], "name 0.50", tmp_path / "out.png")


def test_all_boxes_are_drawn_or_none(tmp_path):
    Image.new("RGB", (300, 40)).save(tmp_path / "a.png")

    def reds(boxes):
        overlay.draw(tmp_path / "a.png", boxes, "name", tmp_path / "out.png")
        with Image.open(tmp_path / "out.png") as picture:
            return (np.asarray(picture)[..., 0] > 200).any(0)

    assert not reds(np.zeros([0, 4], np.float32)).any()  # nor is there a text
    columns = reds([[0, 0, 1, 0.25], [0, 0.75, 1, 1]])
    assert columns[0] and columns[299] and not columns[100:200].any()
