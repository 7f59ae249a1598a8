"""One loop for prediction and client: entries, overlays, and what an image that fails costs."""
import contextlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ornet_tf.errors import ImageRefusedError
from ornet_tf.inference import localize_files
from ornet_tf.inference.detections import Detections
from tests import source_tree

BOX = np.array([[0.25, 0.5, 0.75, 1.0]], np.float32)


class Scripted:
    """A model whose answer is named by the contents of the file."""

    def localize(self, images, *, signature):
        return [self.answer(image) for image in images]

    def answer(self, image):
        if image == b"refused":
            raise ImageRefusedError("HTTP 400")
        if image == b"gone":
            raise ConnectionError("No server")
        if image == b"damaged":
            return Detections(np.zeros([0, 4], np.float32), status="truncated PNG")
        boxes = BOX if image != b"nothing" else BOX[:0]
        n = len(boxes)
        return Detections(boxes, np.full(n, 0.5, np.float32), np.zeros(n, np.int64), ("bird",) * n, "", np.eye(4))


def read(path):
    if "unreadable" in path:
        raise OSError("Pillow cannot read it")
    return Image.new("RGB", (80, 40))


def localized(tmp_path, *names, folder="", **options):
    paths = []
    for name in names:
        (tmp_path / name).write_bytes(name.partition("-")[0].encode())
        paths.append(str(tmp_path / name))
    options = {"signature": "x", "read": read, "batch_size": 1, **options}
    return localize_files.localize_files(Scripted(), paths, folder=str(folder), **options)


def test_each_file_has_an_entry_and_a_failure_costs_its_own_only(tmp_path):
    folder = tmp_path / "out"
    entries = list(localized(tmp_path, "one", "refused", "damaged", "one-unreadable", "nothing", folder=folder))
    assert [entry["file"].rsplit("/")[-1] for entry in entries] == [
        "one", "refused", "damaged", "one-unreadable", "nothing"
    ]  # fmt: skip
    assert [entry.get("error") for entry in entries] == [
        None, "HTTP 400", "The model cannot read it: truncated PNG.", "No overlay: Pillow cannot read it", None
    ]  # fmt: skip
    first, last = entries[0], entries[-1]
    assert (first["box"], first["box_pixels"]) == ([0.25, 0.5, 0.75, 1.0], [10.0, 40.0, 30.0, 80.0])
    assert (first["class_name"], first["score"]) == ("bird", 0.5)
    assert (last["box"], last["overlay"]) == (None, str(folder / "00001_nothing.png"))
    assert json.loads((folder / "predictions.json").read_text()) == [first, last]


def test_without_a_folder_nothing_is_read_or_written(tmp_path):
    (entry,) = localized(tmp_path, "one-unreadable")
    assert entry.keys() == {"file", "box", "score", "class", "class_name"}
    assert [path.name for path in tmp_path.iterdir()] == ["one-unreadable"]


@pytest.mark.parametrize("lost", [True, False])
def test_results_stay_when_the_server_is_lost_or_the_loop_is_left(tmp_path, lost):
    folder = tmp_path / "out"
    entries = localized(tmp_path, "one", "gone" if lost else "one-2", folder=folder, in_flight=1)
    with contextlib.closing(entries):
        first = next(entries)
        if lost:
            with pytest.raises(ConnectionError, match="No server"):
                next(entries)
    assert json.loads((folder / "predictions.json").read_text()) == [first]


def red(image):
    pixels = np.asarray(image).astype(int)
    return (pixels[..., 0] > 200) & (pixels[..., 2] < 100)


def test_drawings_show_the_map_the_boxes_and_the_class():
    found = Scripted().answer(b"one")
    plain = np.asarray(localize_files.annotate(Image.new("RGB", (80, 40)), found))
    assert red(plain)[10:30, 40:80].any() and not red(plain)[:, :38].any()
    assert not plain[:, :38].any()
    mapped = np.asarray(localize_files.annotate(Image.new("RGB", (80, 40)), found, [0.0, 0.0, 1.0, 1.0]))
    assert mapped[:, :38].any()
    assert localize_files.label(found) == "bird 0.50"


def test_a_text_that_would_hide_the_object_is_left_out():
    def white(width, text):
        image = Image.new("RGB", (width, 40))
        localize_files.draw_boxes(image, BOX, text)
        return (np.asarray(image).min(-1) == 255).any()

    assert white(400, "bird 0.50") and not white(60, "bird 0.50")


def test_tensorflow_is_not_imported():
    program = "import sys; from ornet_tf.inference import localize_files; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=source_tree.ROOT, check=False).returncode == 0
