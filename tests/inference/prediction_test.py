import json
import os
import pathlib
import shutil
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf import predict
from ornet_tf.errors import UserError
from ornet_tf.inference import localizer, prediction
from ornet_tf.runs import interruption, run_folder
from tests import forked_programs
from tests.inference.predicted import list_of, predicted

pytestmark = pytest.mark.usefixtures("kept_localizers")


def test_folders_and_files_are_predicted_as_the_localizer_does(tiny_run, image_folder, caplog):
    single = image_folder / "inner" / "0.png"
    caplog.set_level("INFO")
    results, broken = predicted(*tiny_run, [str(image_folder), str(single)])
    assert "Stopped early" not in caplog.text
    assert broken == []
    assert [os.path.basename(r["file"]) for r in results] == ["0.png", "1.png", "2.png", "0.png"]
    encoded = tf.constant([(image_folder / "inner" / f"{i}.png").read_bytes() for i in (0, 1, 2, 0)])
    model = localizer.load(*tiny_run)
    expected = model.localize(encoded)
    np.testing.assert_allclose([r["box"] for r in results], expected["detection_boxes"][:, 0], atol=1e-5)
    assert [r["class"] for r in results] == expected["detection_classes"][:, 0].numpy().tolist()
    for r in results:
        with Image.open(r["overlay"]) as drawn:
            assert drawn.size == (32, 32)
        np.testing.assert_allclose(r["box_pixels"], np.multiply(r["box"], 32), atol=0.06)


@pytest.mark.parametrize(
    ("folder", "size", "images", "others"),
    [
        ("query", (64, 128), ["0001_c1s1_001051_00.jpg", "-1_c1s1_000401_03.jpg"], ["Thumbs.db"]),  # Market-1501
        ("Images", (50, 37), ["n02085620-Chihuahua/n02085620_7.jpg", "n02085782-Spaniel/n02085782_17.jpg"], []),
        ("data", (90, 60), ["images/0034309.jpg", "images/1025794.jpg"], ["images_variant_test.txt", "images_box.txt"]),
    ],
)
def test_folders_of_persons_dogs_and_aircraft_are_predicted(tiny_run, tmp_path, folder, size, images, others):
    root = tmp_path / folder
    for number, name in enumerate(images):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(root / name)
    for name in others:
        (root / name).write_bytes(b"no image")
    results, broken = predicted(*tiny_run, [str(root)])
    assert broken == []
    assert [result["file"] for result in results] == sorted(str(root / name) for name in images)
    for result in results:
        with Image.open(result["overlay"]) as drawn:
            assert drawn.size == size
    page = pathlib.Path(tiny_run[1], "predictions", "index.html").read_text(encoding="utf-8")
    assert all(os.path.basename(result["overlay"]) in page for result in results)


def test_a_broken_image_is_named_and_the_others_are_predicted(tiny_run, image_folder):
    (image_folder / "inner" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 3 images failed\. .*1.png: The model cannot read it: .*empty"):
        predict.main(*tiny_run, [str(image_folder)])
    assert len(list_of(tiny_run[1])) == 2


def test_a_path_that_is_not_there_is_named(tiny_run):
    with pytest.raises(FileNotFoundError, match="nowhere.jpg: no such file or folder"):
        prediction.predict(*tiny_run, ["nowhere.jpg"])


def test_no_image_at_all_is_an_error(tiny_run, tmp_path):
    with pytest.raises(ValueError, match="No image to predict on"):
        prediction.predict(*tiny_run, [str(tmp_path)])


def test_images_over_the_limits_of_the_config_are_broken_ones(tiny_run, image_folder):
    config, workdir = tiny_run
    config = config.copy_and_resolve_references()
    config.export.max_pixels = 32 * 32 - 1
    with open(image_folder / "small.png", "wb") as file:
        Image.new("RGB", (31, 33)).save(file)
    results, broken = predicted(config, workdir, [str(image_folder)])
    assert [os.path.basename(result["file"]) for result in results] == ["small.png"]
    words = "32 x 32 pixels (height x width); at most 1023 are read"
    assert [why for _, why in broken] == [f"The model cannot read it: {words}."] * 3


def test_names_of_any_length_and_bytes_cost_nothing(tiny_run, image_folder):
    folder = image_folder / "inner"
    odd = [b"caf\xe9.png", "\u9ce5.png".encode(), b"n" * 251 + b".png"]
    for name in odd:
        shutil.copy(folder / "0.png", os.fsencode(folder) + b"/" + name)
    results, broken = predicted(*tiny_run, [str(image_folder)])
    assert broken == [] and len(results) == 6
    found = {os.path.basename(result["file"]): result for result in results}
    assert {"caf\\xe9.png", "\u9ce5.png", "n" * 251 + ".png", "0.png"} < set(found)
    for name in set(found) - {"1.png", "2.png"}:
        assert found[name]["box"] == found["0.png"]["box"]
        assert os.path.isfile(found[name]["overlay"])
    os.truncate(os.fsencode(folder) + b"/caf\xe9.png", 100)
    with pytest.raises(ValueError, match=r"1 of 6 images .*/caf\\xe9.png: .*: truncated or damaged PNG"):
        predict.main(*tiny_run, [str(image_folder)])


def test_files_that_can_not_be_read_cost_themselves_only(tiny_run, image_folder):
    folder = image_folder / "inner"
    with (folder / "large.png").open("wb") as file:
        file.truncate(10**12)  # takes no room, and would not fit into memory
    inputs = [str(folder / f"{name}.png") for name in ("0", "large", "1")]
    results, broken = predicted(*tiny_run, inputs)
    assert [os.path.basename(result["file"]) for result in results] == ["0.png", "1.png"]
    words = f"Cannot read {inputs[1]}: it has 1000000000000 bytes, and at most 20000000 are read."
    assert broken == [(inputs[1], words)]
    os.remove(inputs[1])
    with pytest.MonkeyPatch.context() as patched:  # gone after it was found
        patched.setattr(prediction, "find_images", lambda found: (found, []))
        words = f"Cannot read {inputs[1]}: No such file or directory."
        assert prediction.predict(*tiny_run, inputs)[1] == [(inputs[1], words)]


def test_two_runs_do_not_write_at_once(tiny_run, image_folder):
    config, workdir = tiny_run
    said = "is in use: process .* predicts there"
    with run_folder.lock(workdir, "predictions"), pytest.raises(UserError, match=said):
        prediction.predict(config, workdir, [str(image_folder)])


def test_overlays_of_an_earlier_run_are_no_input(tiny_run, image_folder, caplog):
    image = str(image_folder / "inner" / "0.png")
    (earlier,), _ = predicted(*tiny_run, [image])
    results, _ = predicted(*tiny_run, [earlier["overlay"], image])
    assert [result["file"] for result in results] == [image]
    assert "predictions are skipped (1): this run replaces them." in caplog.text
    with pytest.raises(UserError, match="All images are overlays in .*predictions, which this run replaces"):
        prediction.predict(*tiny_run, [earlier["overlay"]])


@pytest.mark.slow
def test_a_folder_that_can_not_be_read_costs_what_is_in_it_only(tiny_run, image_folder, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(tiny_run[1], workdir, ignore=shutil.ignore_patterns("export", "predictions", "evaluation"))
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users altogether
        folder = pathlib.Path(name)
        locked = folder / "all" / "locked"
        for place in (folder / "all", locked):
            shutil.copytree(image_folder, place / "images")
        shutil.move(workdir, folder / "run")
        for path in (folder, *folder.rglob("*")):
            os.chmod(path, 0o777)
        locked.chmod(0)
        flags = ["--config=tests/tiny_experiment.py", f"--workdir={folder / 'run'}"]
        # Another user may be unable to read what `predict` imports late.
        imports = "import os; from ornet_tf import predict, program; from ornet_tf.inference import prediction"
        program = f"{imports}; os.geteuid() or os.setuid(65534); predict.start()"
        status, text = forked_programs.run_source(program, *flags, str(folder / "all"))
        locked.chmod(0o700)
        assert status == 1, text
        assert len(list_of(folder / "run")) == 3, text
        message = f"Error: 1 of 4 images failed. {locked}: Cannot read the folder: Permission denied.\n"
        assert text.endswith(message)


PROGRAM = """
import os, signal, sys
sys.argv[0] = "ornet_tf/predict.py"
from ornet_tf import predict
from ornet_tf.inference import prediction_files
add = prediction_files.Predictions.add
def add_and_end(self, *arguments):
    entry = add(self, *arguments)
    if self.count == 2:
        os.kill(os.getpid(), signal.{number})
    return entry
prediction_files.Predictions.add = add_and_end
predict.start()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_signal_leaves_what_was_predicted_and_says_what_is_true(tiny_run, image_folder, tmp_path, number):
    workdir = tmp_path / "run"
    shutil.copytree(tiny_run[1], workdir, ignore=shutil.ignore_patterns("export", "predictions"))
    flags = ["--config=tests/tiny_experiment.py", f"--workdir={workdir}"]
    status, text = forked_programs.run_source(PROGRAM.format(number=number), *flags, str(image_folder))
    if number == "SIGKILL":
        lines = (workdir / "predictions" / "predictions.jsonl").read_text().splitlines()
        assert len([json.loads(line) for line in lines]) == 2
        return
    assert status == interruption.EXIT_CODE, text
    assert len(list_of(workdir)) == 2
    assert "Traceback" not in text
    assert text.endswith(
        f"\nStopped by {number}; the predictions so far, if any, are in --workdir, and the same command starts anew.\n"
    )
    assert "the results of the 2 images before it remain in" in text
