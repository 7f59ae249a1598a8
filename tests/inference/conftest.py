import pytest

from ornet_tf.data import loading


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
