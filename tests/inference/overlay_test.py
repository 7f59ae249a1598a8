"""Images are read and boxes drawn in the frame of the export, at a limited size."""
import io
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf.data import decoding
from ornet_tf.inference import overlay
from ornet_tf.inference.detections import Detections
from tests import broken_files, damaged_metadata, source_tree
from tests.data import fierce_jpegs

BOX = np.array([[0.25, 0.5, 0.75, 1.0]], np.float32)
FOUND = Detections(BOX, np.full(1, 0.5, np.float32), np.zeros(1, np.int64), ("bird",), "", np.eye(4, dtype=np.float32))


def green(image):
    pixels = np.asarray(image).astype(int)
    return (pixels[..., 1] > 200) & (pixels[..., 2] < 100)


@pytest.mark.parametrize(("kind", "height", "width"), [("JPEG", 80, 60), ("PNG", 60, 80)])
def test_the_box_is_drawn_in_the_frame_of_the_export(kind, height, width):
    # Orientation 6: the upright image is the stored one turned clockwise. The export reads it from JPEG files only.
    stored = Image.new("RGB", (80, 60), (0, 0, 200))
    exif = stored.getexif()
    exif[0x0112] = 6
    image, size = overlay.read(broken_files.encode(stored, kind, exif=exif))
    overlay.draw_boxes(image, [[0.5, 0.25, 1.0, 0.75]], "")
    assert image.size == size == (width, height)
    is_green = green(image)
    rows, columns = np.flatnonzero(is_green.any(1)), np.flatnonzero(is_green.any(0))
    edges = (rows[0], rows[-1], columns[0], columns[-1])
    assert edges == (height // 2, height - 1, width // 4, 3 * width // 4 - 1)
    assert not is_green[height // 2 + 10 : height - 10, width // 4 + 10 : width // 4 + 20].any()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("sides", [(1024, 700), (1025, 700), (4032, 3024), (2100, 3500), (9000, 3)])
def test_a_large_image_is_scaled_down_and_its_size_is_known(kind, sides):
    pixels = np.zeros([*sides[::-1], 3], np.uint8)
    pixels[: sides[1] // 2 + 1] = (60, 250, 60)  # the upper half
    stored = Image.fromarray(pixels)
    exif = stored.getexif()
    exif[0x0112] = 3 if kind == "JPEG" else 1  # upside down
    image, size = overlay.read(broken_files.encode(stored, kind, exif=exif))
    assert size == sides
    assert max(sides) <= overlay.MAX_SIDE or overlay.MAX_SIDE / 2 < max(image.size) <= overlay.MAX_SIDE
    assert image.size == pytest.approx(np.multiply(sides, max(image.size) / max(sides)), abs=1)
    scaled = green(image)
    if min(image.size) > 2:
        upper, lower = scaled[: len(scaled) // 2 - 2].mean(), scaled[len(scaled) // 2 + 2 :].mean()
        assert (upper, lower) == ((0, 1) if kind == "JPEG" else (1, 0))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's remarks on broken metadata
def test_every_fierce_file_is_turned_as_the_graph_turns_it():
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
        try:
            decoded = decoding.decode(file).numpy().astype(int)
            image, size = overlay.read(file)
        except (tf.errors.InvalidArgumentError, OSError):
            assert file in damaged  # those written by hand can all be read
            continue
        assert (*size[::-1], 3) == decoded.shape
        assert np.abs(np.asarray(image).astype(int) - decoded).max() <= 2
        height, width = decoded.shape[:2]
        quarters = decoded.reshape(2, height // 2, 2, width // 2, 3).mean((1, 3))
        turned.add(tuple(int(quarters[..., colour].argmax()) for colour in (0, 1)))
    assert len(turned) == 8


def test_sixteen_bits_of_grey_are_scaled():
    image, _ = overlay.read(broken_files.encode(Image.fromarray(np.full([40, 40], 0x40FF, np.uint16)), "PNG"))
    assert image.getpixel((30, 30)) == (0x40, 0x40, 0x40)


def test_boxes_at_the_edges_and_without_extent_are_drawn():
    for box in ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0], [1, 1, 1, 1]):
        overlay.draw_boxes(Image.new("RGB", (8, 8)), [box], "name 0.50")


def test_all_boxes_are_drawn_or_none():
    def greens(boxes):
        image = Image.new("RGB", (300, 40))
        overlay.draw_boxes(image, boxes, "name")
        return (np.asarray(image)[..., 1] > 200).any(0)

    assert not greens(np.zeros([0, 4], np.float32)).any()  # nor is there a text
    columns = greens([[0, 0, 1, 0.25], [0, 0.75, 1, 1]])
    assert columns[0] and columns[299] and not columns[100:200].any()


def test_drawings_show_the_map_the_boxes_and_the_class():
    plain = np.asarray(overlay.annotate(Image.new("RGB", (80, 40)), FOUND))
    assert green(plain)[10:30, 40:80].any() and not green(plain)[:, :38].any()
    assert not plain[:, :38].any()
    mapped = np.asarray(overlay.annotate(Image.new("RGB", (80, 40)), FOUND, [0.0, 0.0, 1.0, 1.0]))
    assert mapped[:, :38].any()


def test_a_text_that_would_hide_the_object_is_left_out():
    def white(width, found):
        return (np.asarray(overlay.annotate(Image.new("RGB", (width, 40)), found)).min(-1) == 255).any()

    assert white(400, FOUND) and not white(60, FOUND) and not white(400, Detections(BOX))


def test_thin_lines_stay_green_in_the_file():
    image = Image.new("RGB", (200, 100), (40, 90, 160))
    overlay.draw_boxes(image, BOX, "")
    with Image.open(io.BytesIO(overlay.encode(image))) as drawn:
        assert drawn.format == "JPEG"
        assert (green(drawn) == green(image)).mean() > 0.999


@pytest.mark.filterwarnings("ignore")
def test_damaged_metadata_is_an_error_of_the_file_or_none():
    known = list(damaged_metadata.kinds().values())
    drawn = []
    for file in [*known, *damaged_metadata.mutated(np.random.default_rng(3), 500)]:
        try:
            assert overlay.encode(overlay.read(file).image)
            drawn.append(True)
        except OSError as error:  # any other class would end the client
            drawn.append(False)
            assert str(error)
    assert not all(drawn[: len(known)])
    assert 0.2 < np.mean(drawn) < 0.95


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (damaged_metadata.kinds()["short_control.png"], "^Pillow cannot read it: ValueError: APNG contains tr"),
        (b"no image", "^Pillow cannot read it: it is no image that Pillow knows.$"),
        (broken_files.encode(Image.new("RGB", (90, 90)), "PNG")[:60], "^Pillow cannot read it: .*truncated"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_pillow_cannot_read_is_said(file, message):
    with pytest.raises(OSError, match=message):
        overlay.read(file)


MEASURED = """
import pathlib, sys
from ornet_tf.inference import overlay
overlay.encode(overlay.read(pathlib.Path(sys.argv[1]).read_bytes()).image)
status = pathlib.Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
print(status[status.index("VmHWM") :].split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_a_large_photograph_is_in_memory_once(tmp_path):
    peaks = {}
    for kind, side in (("PNG", 100), ("PNG", 5000), ("JPEG", 5000)):
        (tmp_path / "a").write_bytes(broken_files.encode(Image.new("RGB", (side, side)), kind))
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(tmp_path / "a")],
            cwd=source_tree.ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks[kind, side] = int(re.search(r"\d+", done.stdout).group()) * 1024
    assert peaks["PNG", 5000] - peaks["PNG", 100] < 6 * 5000 * 5000  # Pillow takes 4 bytes a pixel
    assert peaks["JPEG", 5000] - peaks["PNG", 100] < 1 * 5000 * 5000  # decoded at a quarter of its sides
