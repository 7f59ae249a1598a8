"""The overlays and the list of a prediction, also where something fails."""
import errno
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf.inference import localizer, overlay, prediction, prediction_files
from tests import broken_files
from tests.inference.predicted import predicted

pytestmark = pytest.mark.usefixtures("kept_localizers")


def test_a_large_photograph_has_a_small_overlay_and_the_box_of_the_localizer(tiny_run, tmp_path):
    image, exif = broken_files.image(np.random.default_rng(0), 2000, 3000), Image.Exif()
    exif[0x0112] = 6  # the upright image is the stored one turned clockwise
    (tmp_path / "large.jpg").write_bytes(broken_files.encode(image, "JPEG", exif=exif))
    ((entry,), _) = predicted(*tiny_run, [str(tmp_path / "large.jpg")])
    model = localizer.load(*tiny_run)
    expected = model.localize(tf.constant([(tmp_path / "large.jpg").read_bytes()]))
    np.testing.assert_allclose(entry["box"], expected["detection_boxes"][0, 0], atol=1e-5)
    np.testing.assert_allclose(entry["box_pixels"], np.multiply(entry["box"], [3000, 2000] * 2), atol=0.06)
    assert (entry["width"], entry["height"]) == (2000, 3000)
    with Image.open(entry["overlay"]) as drawn:
        assert max(drawn.size) <= 1024 and drawn.width / drawn.height == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("sides", [(500, 375), (1024, 1024), (1500, 600), (4032, 3024)])
def test_an_overlay_has_the_size_of_that_of_the_client(tiny_run, tmp_path, sides):
    path = tmp_path / "image.jpg"
    path.write_bytes(broken_files.encode(Image.new("RGB", sides), "JPEG"))
    ((entry,), _) = predicted(*tiny_run, [str(path)])
    expected = overlay.read(path.read_bytes()).image.size
    with Image.open(entry["overlay"]) as drawn:
        assert drawn.size == pytest.approx(expected, abs=1)


def test_a_list_that_can_not_be_written_is_an_error(tiny_run, image_folder, monkeypatch):
    def refuse(predictions):
        predictions._lines.close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(prediction_files.Predictions, "finish", refuse)
    with pytest.raises(OSError, match="No space left"):
        prediction.predict(*tiny_run, [str(image_folder)])


def test_the_list_of_an_earlier_run_goes_even_if_all_images_fail(tiny_run, image_folder):
    assert len(predicted(*tiny_run, [str(image_folder)])[0]) == 3
    for path in image_folder.rglob("*.png"):
        path.write_bytes(b"no image")
    results, failed = predicted(*tiny_run, [str(image_folder)])
    assert (results, len(failed)) == ([], 3)


def test_an_image_that_needs_too_much_memory_affects_no_other(tiny_run, image_folder, monkeypatch):
    shrink, calls = overlay.shrink, []

    def shrink_unless_second(image, size):
        calls.append(size)
        if len(calls) == 2:
            raise MemoryError
        return shrink(image, size)

    monkeypatch.setattr(overlay, "shrink", shrink_unless_second)
    results, failed = predicted(*tiny_run, [str(image_folder)])
    assert len(results) == 2 and [reason for _, reason in failed] == [
        "The model cannot read it: it needs more memory than there is."
    ]
