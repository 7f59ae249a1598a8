import json
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf import assemble, localizer, predict


@pytest.fixture
def pictures(tiny_run, tmp_path):
    source = assemble.load_split(tiny_run[0], "test")
    folder = tmp_path / "pictures" / "inner"
    folder.mkdir(parents=True)
    for index in range(3):
        (folder / f"{index}.png").write_bytes(source.images[index])
    (folder / "notes.txt").write_text("no picture")
    return tmp_path / "pictures"


def test_folders_and_files_are_predicted_as_the_localizer_does(tiny_run, pictures):
    single = pictures / "inner" / "0.png"
    results, broken = predict.predict(*tiny_run, [str(pictures), str(single)])
    assert not broken
    assert [os.path.basename(r["file"]) for r in results] == ["0.png", "1.png", "2.png", "0.png"]
    encoded = tf.constant([(pictures / "inner" / f"{i}.png").read_bytes() for i in (0, 1, 2, 0)])
    model = localizer.load(*tiny_run)
    expected = model.localize(encoded)
    np.testing.assert_allclose([r["box"] for r in results], expected["detection_boxes"][:, 0], atol=1e-5)
    assert [r["class"] for r in results] == expected["detection_classes"][:, 0].numpy().tolist()
    with open(os.path.join(tiny_run[1], "predictions", "predictions.json"), encoding="utf-8") as file:
        assert json.load(file) == results
    for r in results:
        with Image.open(r["overlay"]) as overlay:
            assert overlay.size == (32, 32)
        np.testing.assert_allclose(r["box_pixels"], np.multiply(r["box"], 32), atol=0.06)


def test_a_broken_picture_is_named_and_the_others_are_predicted(tiny_run, pictures):
    (pictures / "inner" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 3 pictures could not be read: .*1.png \(.*empty"):
        predict.main(*tiny_run, [str(pictures)])
    with open(os.path.join(tiny_run[1], "predictions", "predictions.json"), encoding="utf-8") as file:
        assert len(json.load(file)) == 2


def test_a_path_that_is_not_there_is_named(tiny_run):
    with pytest.raises(FileNotFoundError, match="nowhere.jpg: no such file or folder"):
        predict.predict(*tiny_run, ["nowhere.jpg"])


def test_no_picture_at_all_is_an_error(tiny_run, tmp_path):
    with pytest.raises(ValueError, match="No picture to predict on"):
        predict.predict(*tiny_run, [str(tmp_path)])


def test_pictures_over_the_limits_of_the_config_are_broken_ones(tiny_run, pictures):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.export.max_pixels = 32 * 32 - 1
    with open(pictures / "small.png", "wb") as file:
        Image.new("RGB", (31, 33)).save(file)
    results, broken = predict.predict(config, workdir, [str(pictures)])
    assert [os.path.basename(result["file"]) for result in results] == ["small.png"]
    words = "32 x 32 pixels (height x width); at most 1023 are read"
    assert [why for _, why in broken] == [words] * 3
