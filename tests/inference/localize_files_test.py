"""One loop for prediction and client: entries, overlays, and what an image that fails costs."""
import contextlib
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ornet_tf.errors import ImageRefusedError
from ornet_tf.inference import localize_files
from ornet_tf.inference.detections import Decoded, Detections
from tests import broken_files, source_tree

BOX = np.array([[0.25, 0.5, 0.75, 1.0]], np.float32)
IMAGE = broken_files.encode(Image.new("RGB", (80, 40)), "PNG")


class Scripted:
    """A model whose answer is named by the end of the file."""

    def localize(self, images, *, signature):
        return [self.answer(image) for image in images]

    def answer(self, image):
        if image.endswith(b"refused"):
            raise ImageRefusedError("HTTP 400")
        if image.endswith(b"gone"):
            raise ConnectionError("No server")
        if image.endswith(b"damaged"):
            return Detections(np.zeros([0, 4], np.float32), status="truncated PNG")
        n = {b"nothing": 0, b"several": 3}.get(image[-7:], 1)
        boxes = np.repeat(BOX, n, axis=0)
        return Detections(boxes, np.full(n, 0.5, np.float32), np.zeros(n, np.int64), ("bird",) * n, "", np.eye(4))


def localized(tmp_path, *names, folder="", image=IMAGE, model=None, **options):
    paths = []
    for name in names:
        answer, _, rest = name.partition("-")
        (tmp_path / name).write_bytes((b"" if rest == "unreadable" else image) + answer.encode())
        paths.append(str(tmp_path / name))
    options = {"signature": "x", "batch_size": 1, **options}
    return localize_files.localize_files(model or Scripted(), paths, folder=str(folder), **options)


def test_each_file_has_an_entry_and_a_failure_costs_its_own_only(tmp_path):
    folder = tmp_path / "out"
    entries = list(localized(tmp_path, "one", "refused", "damaged", "one-unreadable", "nothing", folder=folder))
    assert [entry["file"].rsplit("/")[-1] for entry in entries] == [
        "one", "refused", "damaged", "one-unreadable", "nothing"
    ]  # fmt: skip
    assert [entry.get("error") for entry in entries] == [
        None, "HTTP 400", "The model cannot read it: truncated PNG.",
        "No overlay: Pillow cannot read it: it is no image that Pillow knows.", None,
    ]  # fmt: skip
    first, last = entries[0], entries[-1]
    assert (first["box"], first["box_pixels"]) == ([0.25, 0.5, 0.75, 1.0], [10.0, 40.0, 30.0, 80.0])
    assert (first["class_name"], first["score"]) == ("bird", 0.5)
    assert [(entry["width"], entry["height"]) for entry in (first, last)] == [(80, 40)] * 2
    assert (last["box"], last["overlay"]) == (None, str(folder / "00001_nothing.jpg"))
    assert json.loads((folder / "predictions.json").read_text()) == [first, last]


def test_each_of_several_boxes_is_also_given_in_pixels(tmp_path):
    (entry,) = localized(tmp_path, "several", folder=tmp_path / "out")
    assert len(entry["others"]) == 2
    for found in (entry, *entry["others"]):
        assert (found["box"], found["box_pixels"]) == ([0.25, 0.5, 0.75, 1.0], [10.0, 40.0, 30.0, 80.0])


def test_without_a_folder_nothing_is_drawn_or_written(tmp_path):
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


class Decoding(Scripted):
    """A model that hands on what it has decoded: here a red image, of a file that nobody else could decode."""

    def answer(self, image):
        decoded = Decoded(Image.new("RGB", (80, 40), (255, 0, 0)), (8000, 4000))
        return dataclasses.replace(super().answer(image), decoded=decoded)


def test_what_the_model_has_decoded_is_not_decoded_again(tmp_path):
    (entry,) = localized(tmp_path, "nothing-unreadable", folder=tmp_path / "out", model=Decoding())
    with Image.open(entry["overlay"]) as drawn:
        assert drawn.size == (80, 40) and drawn.getpixel((40, 20))[0] > 250
    (entry,) = localized(tmp_path, "one-unreadable", folder=tmp_path / "out", model=Decoding())
    assert entry["box_pixels"] == [1000.0, 4000.0, 3000.0, 8000.0]


def test_each_file_is_read_once(tmp_path):
    class Removing(Scripted):
        def localize(self, images, *, signature):
            for path in tmp_path.glob("one*"):
                path.unlink()
            return super().localize(images, signature=signature)

    (entry,) = localized(tmp_path, "one", folder=tmp_path / "out", model=Removing())
    assert entry["box_pixels"] and not (tmp_path / "one").exists()


def test_tensorflow_is_not_imported():
    program = "import sys; from ornet_tf.inference import localize_files; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=source_tree.ROOT, check=False).returncode == 0
