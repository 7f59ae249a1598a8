"""Images are read and boxes drawn in the frame of the export."""
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from ornet_tf.data import decoding
from serving import overlay
from tests import broken_files, damaged_metadata, source_tree
from tests.data import fierce_jpegs
from tests.serving import tiny_export


@pytest.mark.parametrize(("name", "height", "width"), [("turned.jpg", 80, 60), ("as_it_is.png", 60, 80)])
def test_the_box_is_drawn_in_the_frame_of_the_export(tmp_path, name, height, width):
    # Orientation 6: the upright image is the stored one turned clockwise. The export reads it from JPEG files only.
    stored = Image.new("RGB", (80, 60), (0, 0, 200))
    exif = stored.getexif()
    exif[0x0112] = 6
    stored.save(tmp_path / name, exif=exif)
    overlay.draw(tmp_path / name, [[0.5, 0.25, 1.0, 0.75]], "", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        pixels = np.asarray(image).astype(int)
    assert pixels.shape == (height, width, 3)
    red = (pixels[..., 0] > 200) & (pixels[..., 2] < 50)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    edges = (rows[0], rows[-1], columns[0], columns[-1])
    assert edges == (height // 2, height - 1, width // 4, 3 * width // 4 - 1)
    assert not red[height // 2 + 10 : height - 10, width // 4 + 10 : width // 4 + 20].any()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's remarks on broken metadata
def test_every_fierce_file_is_turned_as_the_graph_turns_it(tmp_path):
    pixels = np.full([40, 72, 3], 60, np.uint8)
    pixels[:20, :36], pixels[:20, 36:] = (250, 60, 60), (60, 250, 60)  # red at the upper left, green at the upper right
    stored = Image.fromarray(pixels)
    pair = [broken_files.encode(stored, kind, **more) for kind, more in (("JPEG", {"quality": 95}), ("PNG", {}))]
    named = fierce_jpegs.written_by_hand(*pair)
    del named["behind a marker alone"]  # of all markers the one that Pillow can't open a file with
    files = [file for file, _ in named.values()]
    damaged = [*fierce_jpegs.damaged(np.random.default_rng(8), pair[0], 300)]
    turned = set()
    for file in files + damaged:
        (tmp_path / "a.jpg").write_bytes(file)
        try:
            decoded = decoding.decode(file).numpy().astype(int)
            overlay.draw(tmp_path / "a.jpg", np.zeros([0, 4]), "", tmp_path / "out.png")
        except (tf.errors.InvalidArgumentError, UnidentifiedImageError):
            assert file in damaged  # those written by hand can all be read
            continue
        with Image.open(tmp_path / "out.png") as drawn:
            drawn = np.asarray(drawn).astype(int)
        assert drawn.shape == decoded.shape
        assert np.abs(drawn - decoded).max() <= 2
        height, width = decoded.shape[:2]
        quarters = decoded.reshape(2, height // 2, 2, width // 2, 3).mean((1, 3))
        turned.add(tuple(int(quarters[..., colour].argmax()) for colour in (0, 1)))
    assert len(turned) == 8


def test_sixteen_bits_of_grey_are_scaled(tmp_path):
    Image.fromarray(np.full([40, 40], 0x40FF, np.uint16)).save(tmp_path / "grey.png")
    overlay.draw(tmp_path / "grey.png", [[0, 0, 0.2, 0.2]], "", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.getpixel((30, 30)) == (0x40, 0x40, 0x40)


def test_overlays_of_boxes_at_and_without_extent(tmp_path):
    path = tiny_export.write_image(tmp_path / "a.png", 8, 8, (0, 0, 1, 1))
    for box in ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0], [1, 1, 1, 1]):
        overlay.draw(path, [box], "name 0.50", tmp_path / "out.png")


def test_all_boxes_are_drawn_or_none(tmp_path):
    Image.new("RGB", (300, 40)).save(tmp_path / "a.png")

    def reds(boxes):
        overlay.draw(tmp_path / "a.png", boxes, "name", tmp_path / "out.png")
        with Image.open(tmp_path / "out.png") as image:
            return (np.asarray(image)[..., 0] > 200).any(0)

    assert not reds(np.zeros([0, 4], np.float32)).any()  # nor is there a text
    columns = reds([[0, 0, 1, 0.25], [0, 0.75, 1, 1]])
    assert columns[0] and columns[299] and not columns[100:200].any()


@pytest.mark.filterwarnings("ignore")
def test_damaged_metadata_is_an_error_of_the_file_or_none(tmp_path):
    known = list(damaged_metadata.kinds().values())
    drawn = []
    for file in [*known, *damaged_metadata.mutated(np.random.default_rng(3), 500)]:
        (tmp_path / "a").write_bytes(file)
        try:
            overlay.draw(tmp_path / "a", [[0, 0, 0.5, 0.5]], "name", tmp_path / "out.png")
            drawn.append(True)
        except OSError as error:  # any other class would end the client
            drawn.append(False)
            assert str(error)
    assert not all(drawn[: len(known)])
    assert 0.2 < np.mean(drawn) < 0.95


def test_what_pillow_cannot_read_is_said(tmp_path):
    for name, file in damaged_metadata.kinds().items():
        (tmp_path / name).write_bytes(file)
    with pytest.raises(OSError, match="Pillow cannot read .*short_control.png: ValueError: APNG contains tr"):
        overlay.draw(tmp_path / "short_control.png", [], "", tmp_path / "out.png")
    with pytest.raises(FileNotFoundError):
        overlay.draw(tmp_path / "none.jpg", [], "", tmp_path / "out.png")


MEASURED = """
import resource, sys
from serving import overlay
overlay.draw(sys.argv[1], [[0, 0, 1, 1]], "", sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_a_large_photograph_is_in_memory_once(tmp_path):
    peaks = []
    for side in (100, 5000):
        (tmp_path / "a.png").write_bytes(broken_files.encode(Image.new("RGB", (side, side)), "PNG"))
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(tmp_path / "a.png"), str(tmp_path / "out.png")],
            cwd=source_tree.ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(re.search(r"\d+", done.stdout).group()) * 1024)
    assert peaks[1] - peaks[0] < 6 * 5000 * 5000  # Pillow takes 4 bytes a pixel
