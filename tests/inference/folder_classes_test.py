import pytest

from ornet_tf.data import image_files
from ornet_tf.errors import UserError
from ornet_tf.inference import folder_classes


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return str(root)


def test_folders_are_classes_unless_images_lie_beside_them(tmp_path, caplog):
    assert folder_classes.has_classes(make(tmp_path / "a", "wren/1.jpg", "owl/2.png", "notes.txt"))
    assert not folder_classes.has_classes(make(tmp_path / "b", "1.jpg", "2.png"))
    assert not caplog.text
    assert not folder_classes.has_classes(make(tmp_path / "c", "1.jpg", "wren/2.jpg"))
    assert "1 images lie in" in caplog.text and "its folders (wren, ...) are not taken for classes" in caplog.text


def test_folders_of_splits_are_refused(tmp_path):
    with pytest.raises(UserError, match="Expected folders of classes in .*, got folders of splits; give one of them"):
        folder_classes.has_classes(make(tmp_path, "train/wren/1.jpg", "test/wren/2.jpg"))


def test_images_without_classes_are_linked_as_one_class(tmp_path):
    folder = make(tmp_path / "images", "1.jpg", "deep/2.jpg")
    for _ in range(2):
        root = folder_classes.link_as_one_class(folder, str(tmp_path / "run" / "images"))
        assert image_files.find(root).images == ["object/1.jpg", "object/deep/2.jpg"]
