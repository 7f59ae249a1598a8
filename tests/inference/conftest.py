import functools

import pytest

from ornet_tf.data import loading
from ornet_tf.inference import localizer, prediction
from ornet_tf.runs import run_folder


@pytest.fixture(scope="module")
def kept_localizers():
    """Keeps the localizers that are loaded and their graphs: building and tracing takes longer than predicting.

    Copies of a run share them, as its phases keep their ids.
    """
    load, kept = localizer.load, {}

    def load_once(config, workdir, *, for_cpu=None, given=None):
        ids = [run_folder.run_id(workdir, phase) for phase in config.phase_order]
        key = config.to_json_best_effort(sort_keys=True), *ids, for_cpu, given
        if key not in kept:
            kept[key] = load(config, workdir, for_cpu=for_cpu, given=given)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(localizer, "load", load_once)
        patch.setattr(prediction, "RunModel", functools.cache(prediction.RunModel))
        yield


@pytest.fixture(scope="session", name="three_images")
def _three_images(tiny_run):
    return loading.load_split(tiny_run[0], "test").images[:3]


@pytest.fixture(name="image_folder")
def _image_folder(three_images, tmp_path):
    """A folder with three test images of the tiny run in a folder below it, and a text."""
    folder = tmp_path / "images" / "inner"
    folder.mkdir(parents=True)
    for index, image in enumerate(three_images):
        (folder / f"{index}.png").write_bytes(image)
    (folder / "notes.txt").write_text("no image")
    return tmp_path / "images"
