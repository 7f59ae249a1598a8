import os

import pytest
from pyarrow import fs

from ornet_tf.bulk import locations
from ornet_tf.errors import UserError


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


@pytest.fixture(name="store")
def _store(tmp_path):
    """The URI of a folder in a store: fsspec's view of a folder, with the names of a, b/c and b/.d."""
    fill(tmp_path, "a.png", "b/c.png", "b/.d.png")
    return f"fsspec+file://{tmp_path}"


def test_paths_of_this_machine_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = locations.locate("photos", "--input")
    assert place.is_local and place.uri() == str(tmp_path / "photos")
    assert locations.locate(f"file://{tmp_path}/x", "--input").uri() == f"{tmp_path}/x"


def test_a_store_by_its_uri(store):
    place = locations.locate(f"{store}/a b.png", "--input")
    assert not place.is_local and place.uri() == f"{store}/a b.png"
    assert place.child("c").uri() == f"{store}/a b.png/c"


@pytest.mark.parametrize(
    ("uri", "path", "prefix"),
    [("gs://bucket/x/y.png", "bucket/x/y.png", "gs://"), ("fsspec+memory://x/y", "/x/y", "fsspec+memory:/")],
)
def test_uris_are_found_again(uri, path, prefix):
    place = locations.locate(uri, "--input")
    assert place.uri() == uri and (place.path, place.prefix) == (path, prefix)


@pytest.mark.parametrize("text", ["nosuch://bucket/x", "fsspec+nosuch://x", ""])
def test_what_no_file_system_is_found_for(text):
    with pytest.raises(UserError, match="--output: expected a path"):
        locations.locate(text, "--output")


def test_the_files_of_a_folder_are_sorted_and_hidden_ones_left_out(tmp_path, store):
    local = locations.list_folder(locations.locate(str(tmp_path), "--input"))
    assert local == [str(tmp_path / "a.png"), str(tmp_path / "b" / "c.png")]
    assert locations.list_folder(locations.locate(store, "--input")) == local


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.png", ["a.png"]), ("**/*.png", ["a.png", "b/c.png"]), ("?/c*", ["b/c.png"]), ("*/*.jpg", []),
        ("b/*.png", ["b/c.png"]),
    ],
)  # fmt: skip
def test_patterns_match_alike_here_and_in_a_store(tmp_path, store, pattern, names):
    expected = [str(tmp_path / name) for name in names]
    assert locations.has_wildcard(pattern)
    assert locations.match(locations.locate(f"{tmp_path}/{pattern}", "--input")) == expected
    found = locations.match(locations.locate(f"{store}/{pattern}", "--input"))
    assert [path for path in found if not os.path.basename(path).startswith(".")] == expected


def test_sizes(tmp_path):
    fill(tmp_path, "abc")
    names = [str(tmp_path / "abc"), str(tmp_path / "none"), str(tmp_path)]
    assert locations.sizes(fs.LocalFileSystem(), names) == [3, -1, -1]
