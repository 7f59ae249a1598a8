"""Data sets and prediction find the same image files in any tree of folders."""
from __future__ import annotations

import os
import pathlib
import tempfile
import textwrap
import unicodedata

import pytest

from ornet_tf.data import image_files
from ornet_tf.datasets import image_folder, imagenet, reid
from ornet_tf.inference import prediction
from tests import forked_programs

FOUND = ["ape/1.jpg", "ape/2.JPEG", "ape/deep/er/3.PnG", "bee/4.jpg", "linked/5.jpg", "linked/sub/6.jpg", "bee/7.jpg"]
SKIPPED = [
    "ape/._1.jpg", "ape/.hidden.png", "ape/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "@eaDir/9.jpg", "__MACOSX/ape/._1.jpg",
    "__MACOSX/ape/1.jpg", "ape/__macosx/1.jpg", "#recycle/1.jpg", "bee/@Recycle/1.jpg", "$RECYCLE.BIN/a/1.jpg",
    ".cache/bee/1.jpg", "bee/.ipynb_checkpoints/4-checkpoint.jpg",
]  # fmt: skip
OTHERS = ["ape/notes.txt", "bee/Thumbs.db", "ape/1.jpg@SynoEAStream"]


def make(root, names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not opened in these tests")


@pytest.fixture
def tree(tmp_path):
    """A folder of classes with the files that phones, servers and archives add, and with links of all kinds."""
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    make(elsewhere, ["5.jpg", "sub/6.jpg", "7.jpg", ".8.jpg"])
    (elsewhere / "7.jpg").rename(tmp_path / "seven.jpg")
    make(root, [name for name in FOUND if not name.startswith("linked/") and name != "bee/7.jpg"])
    make(root, [*SKIPPED, *OTHERS])
    (root / "linked").symlink_to(elsewhere, target_is_directory=True)
    (root / "bee" / "7.jpg").symlink_to(tmp_path / "seven.jpg")
    (root / "bee" / "nowhere.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "bee" / "itself.jpg").symlink_to(root / "bee" / "itself.jpg")
    (root / "bee" / "itself").symlink_to(root / "bee" / "itself")
    (root / "ape" / "up").symlink_to(root, target_is_directory=True)
    (elsewhere / "back").symlink_to(root / "linked", target_is_directory=True)
    os.mkfifo(root / "bee" / "pipe.jpg")
    return root


def relative(root, paths):
    return [os.path.relpath(path, root) for path in paths]


def test_training_and_prediction_find_the_same_files(tree):
    trained = image_folder.load("train", root=tree)
    predicted, unreadable = prediction.find_images([str(tree)])
    assert unreadable == []
    assert relative(tree, predicted) == relative(tree, trained.images) == trained.names == sorted(FOUND)
    assert trained.class_names == ["ape", "bee", "linked"]
    assert all(os.path.isfile(path) for path in predicted)


def test_skipped_entries_are_counted_and_logged(tree, caplog):
    with caplog.at_level("INFO", logger="absl"):
        found = image_files.find(tree)
    assert sorted(found.others) == sorted(OTHERS)
    assert set(found.skipped) == {
        "ape/._1.jpg", "ape/.hidden.png", "ape/@eaDir", "@eaDir", "__MACOSX", "ape/__macosx", "#recycle",
        "bee/@Recycle", "$RECYCLE.BIN", ".cache", "bee/.ipynb_checkpoints", "bee/nowhere.jpg", "bee/itself.jpg",
        "bee/itself", "ape/up", "linked/back", "linked/.8.jpg", "bee/pipe.jpg",
    }  # fmt: skip
    assert len(found.skipped) == 18
    assert f"{tree}: skipped 18 " in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", logger="absl"):
        image_files.find(tree / "ape" / "deep")
    assert not caplog.text


def test_a_file_or_folder_named_by_the_user_is_not_skipped(tree):
    hidden, other = str(tree / "ape" / "._1.jpg"), str(tree / "ape" / "notes.txt")
    assert prediction.find_images([hidden, other]) == ([hidden, other], [])
    for folder in ("@eaDir", ".cache/bee", "__MACOSX"):
        assert prediction.find_images([str(tree / folder)])[0]
    assert image_folder.load("train", root=tree / ".cache").names == ["bee/1.jpg"]


def test_the_order_is_that_of_composed_characters(tmp_path):
    names = ["a/1.jpg", "a-b/1.jpg", "a.jpg", "z\u00e4/1.jpg", "zb/1.jpg", "\u00e9.jpg"]
    orders = []
    for form in ("NFC", "NFD"):
        make(tmp_path / form, [unicodedata.normalize(form, name) for name in reversed(names)])
        orders.append([unicodedata.normalize("NFC", name) for name in image_files.find(tmp_path / form).images])
    assert orders[0] == orders[1] == sorted(names)


def test_names_that_are_not_utf_8_are_found(tmp_path, caplog):
    for name in (b"caf\xe9.png", b".caf\xe9.png"):
        pathlib.Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(b"")
    with caplog.at_level("INFO", logger="absl"):
        assert image_files.find(tmp_path).images == ["caf\udce9.png"]
    assert "such as '.caf\\udce9.png'" in caplog.text


def test_the_depth_of_the_search_can_be_limited(tmp_path):
    make(tmp_path, ["1.jpg", "a/2.jpg", "a/b/3.jpg", "a/b/c/4.jpg"])
    found = [image_files.find(tmp_path, depth=depth).images for depth in (0, 1, 2, None)]
    assert [len(images) for images in found] == [1, 2, 3, 4]


def test_folders_that_are_not_to_be_entered(tmp_path):
    make(tmp_path, ["1.jpg", "a/2.jpg", "a/b/3.jpg", "c/b/4.jpg"])
    (tmp_path / "d").symlink_to("a", target_is_directory=True)
    found = image_files.find(tmp_path, enters=lambda path: path in ("d", "d/b"))
    assert found.images == ["1.jpg", "d/2.jpg", "d/b/3.jpg"]


def test_a_path_is_skipped_as_find_skips_it(tree):
    assert [name for name in SKIPPED if not image_files.is_skipped(name)] == []
    assert [name for name in (*FOUND, *OTHERS) if image_files.is_skipped(name)] == []


def test_data_sets_with_one_level_of_folders_skip_the_same(tmp_path):
    thumbnails = ["train/n01/@eaDir/n01_1.JPEG/thumb.jpg", "train/@eaDir/n01_1.jpg", "train/n01/._n01_1.JPEG"]
    make(tmp_path, ["train/n01/n01_1.JPEG", *thumbnails, "val/n01/v_1.JPEG", "val/@eaDir/v_1.JPEG", "val/n01/._v.jpg"])
    for split, names in (("train", ["train/n01/n01_1.JPEG"]), ("test", ["val/n01/v_1.JPEG"])):
        source = imagenet.load(split, root=tmp_path)
        assert (source.names, source.class_names) == (names, ["n01"])
    make(tmp_path, ["bounding_box_train/0002_c1s1_000451_03.jpg", "bounding_box_train/._0002_c1s1_000451_03.jpg"])
    make(tmp_path, ["bounding_box_train/@eaDir/0003_c1s1_000451_03.jpg"])
    assert reid.load("train", root=tmp_path).names == ["bounding_box_train/0002_c1s1_000451_03.jpg"]


def test_system_folders_beside_split_folders_are_skipped(tmp_path):
    make(tmp_path, ["train/cat/1.jpg", "test/cat/2.jpg", "@eaDir/1.jpg", "__MACOSX/train/cat/._1.jpg"])
    assert image_folder.load("test", root=tmp_path).names == ["test/cat/2.jpg"]


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        image_files.find(tmp_path / "nowhere")


def test_folders_that_link_to_each_other_are_searched_once(tmp_path, caplog):
    folders = [tmp_path / f"{number:02d}" for number in range(50)]  # a system allows about 40 links in a path
    for folder in folders:
        make(folder, ["1.jpg"])
    for folder in folders:
        for other in folders:
            (folder / f"to {other.name}").symlink_to(other, target_is_directory=True)
    with caplog.at_level("INFO", logger="absl"):
        found = image_files.find(tmp_path)
    assert len(found.images) == 50 and all(os.path.isfile(tmp_path / name) for name in found.images)
    assert len({os.path.realpath(tmp_path / name) for name in found.images}) == 50
    assert found.images[:2] == ["00/1.jpg", "00/to 01/1.jpg"]  # the first in order of names
    assert len(found.skipped) == 50 * 50  # of 50 folders and 50 * 50 links, one per image was searched
    assert "folders found under another name" in caplog.text


def test_links_to_system_folders_are_skipped(tmp_path):
    make(tmp_path, ["ape/1.jpg", "ape/@eaDir/2.jpg", "store/ape/3.jpg"])
    (tmp_path / "notea").symlink_to("ape/@eaDir", target_is_directory=True)
    (tmp_path / "more").symlink_to("store/ape", target_is_directory=True)
    found = image_files.find(tmp_path)
    assert (found.images, found.skipped) == (["ape/1.jpg", "more/3.jpg"], ["ape/@eaDir", "notea", "store/ape"])


def test_a_tree_may_have_any_depth(tmp_path):
    depth = 1100
    for level in range(1, depth + 1):
        (tmp_path / "/".join("a" * level)).mkdir()
    file = tmp_path / "/".join("a" * depth) / "1.jpg"
    file.touch()
    try:
        assert image_files.find(tmp_path).images == ["a/" * depth + "1.jpg"]
    finally:  # pytest can't remove such a deep tree
        file.unlink()
        for level in range(depth, 0, -1):
            (tmp_path / "/".join("a" * level)).rmdir()


@pytest.fixture
def locked():
    """A folder with an unreadable folder. It is not one of pytest's folders, which other users can't read at all."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        make(folder, ["cat/1.jpg", "cat/b/2.jpg", "cat/c/3.jpg", "dog/4.jpg"])
        (folder / "cat" / "b").chmod(0)
        yield folder
        (folder / "cat" / "b").chmod(0o700)


def as_another_user(folder, program):
    """Runs a program without the rights of the superuser, who can read everything."""
    before = """
        import os, sys
        from ornet_tf.data import image_files
        from ornet_tf.inference import prediction
        from ornet_tf.datasets import _files, image_folder
        os.chdir(sys.argv[1])
        os.geteuid() or os.setuid(65534)
    """
    status, text = forked_programs.run_source(textwrap.dedent(before) + textwrap.dedent(program), str(folder))
    assert status == 0, text
    return text


def test_an_unreadable_folder_does_not_stop_the_search(locked):
    program = """
        print(image_files.find("."))
        found, unreadable = prediction.find_images(["."])
        print(found, unreadable)
        try:
            prediction.find_images(["cat/b"])
        except PermissionError as error:
            print("named itself:", error)
    """
    found, predicted, named = as_another_user(locked, program).splitlines()
    images = ["cat/1.jpg", "cat/c/3.jpg", "dog/4.jpg"]
    assert found == str(image_files.Tree(images, [], [], [("cat/b", "Permission denied")]))
    why = "Cannot read the folder: Permission denied."
    assert predicted == str([f"./{name}" for name in images]) + f" [('./cat/b', '{why}')]"
    assert named.startswith("named itself: [Errno 13]")


def test_an_unreadable_folder_in_a_data_set_is_an_error(locked):
    program = """
        for load in (lambda: image_folder.load("train", root="."), lambda: _files.list_images("cat", folders=True)):
            try:
                load()
            except Exception as error:
                print(type(error).__name__, error)
    """
    lines = as_another_user(locked, program).splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("UserError ") and "cat/b" in line and "Permission denied" in line
