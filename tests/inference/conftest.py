import pytest

from ornet_tf.data import loading
from ornet_tf.inference import localizer


@pytest.fixture(scope="module")
def kept_localizers():
    """Keeps the localizers that are loaded: building and tracing one takes longer than predicting."""
    load, kept = localizer.load, {}

    def load_once(config, workdir):
        key = config.to_json_best_effort(sort_keys=True), workdir
        if key not in kept:
            kept[key] = load(config, workdir)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(localizer, "load", load_once)
        yield


@pytest.fixture(name="image_folder")
def _image_folder(tiny_run, tmp_path):
    """A folder with three test images of the tiny run in a folder below it, and a text."""
    source = loading.load_split(tiny_run[0], "test")
    folder = tmp_path / "images" / "inner"
    folder.mkdir(parents=True)
    for index in range(3):
        (folder / f"{index}.png").write_bytes(source.images[index])
    (folder / "notes.txt").write_text("no image")
    return tmp_path / "images"
