import os
import pathlib
import socket
import tempfile

import pytest
from pyarrow import fs

from ornet_tf.bulk import locations
from ornet_tf.errors import UserError
from tests import forked_programs


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


@pytest.mark.parametrize(
    "text", ["nosuch://bucket/x", "fsspec+nosuch://x", "", "fsspec+http://x/y", "HTTPS://x/y", "file://x/y"]
)
def test_what_no_file_system_is_found_for(text):
    with pytest.raises(UserError, match="--output: expected a path"):
        locations.locate(text, "--output")


def test_a_store_that_does_not_answer_is_no_mistake_of_the_user():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OSError, match=f"--input: fsspec.ftp://127.0.0.1:{port} can't be reached: .*refused"):
        locations.locate(f"fsspec+ftp://127.0.0.1:{port}/a.png", "--input")


@pytest.mark.parametrize("name", ["a b.png", "100%.png", os.fsdecode(b"\xff.png")])
def test_a_file_by_its_uri(tmp_path, name):
    (tmp_path / name).write_text("x")
    place = locations.locate(f"file://{tmp_path}/{name}", "--input")
    assert locations.sizes(place.system, [place.path]) == [1]
    with place.open() as file:
        assert file.read() == b"x"
    assert locations.locate("file:///a%20b", "--input").path == "/a b"


def test_the_files_of_a_folder_are_sorted_and_hidden_ones_left_out(tmp_path, store):
    local = locations.list_folder(locations.locate(str(tmp_path), "--input"))
    assert local == [str(tmp_path / "a.png"), str(tmp_path / "b" / "c.png")]
    assert locations.list_folder(locations.locate(store, "--input")) == local


FILES = [
    "a.png", "b/c.png", "b/.d.png", "b/.e/f.png", "@eaDir/a.png", "g[1]/h+.png", "g1/h.png", "b/i/j/k.png", "l\nm.png",
]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.png", ["a.png", "l\nm.png"]),
        ("**/*.png", ["a.png", "b/c.png", "b/i/j/k.png", "g1/h.png", "g[1]/h+.png", "l\nm.png"]),
        ("?/c*", ["b/c.png"]), ("*/*.jpg", []), ("b/*.png", ["b/c.png"]), ("b/*", ["b/c.png"]),
        ("g[1]/*.png", ["g[1]/h+.png"]), ("g*/h+.png", ["g[1]/h+.png"]), ("b/.e/*", ["b/.e/f.png"]), ("*/.e/*", []),
        ("b/i/**/*.png", ["b/i/j/k.png"]), ("b/**", ["b/c.png", "b/i/j/k.png"]), ("*/*/j/*", ["b/i/j/k.png"]),
        ("**/j/k.png", ["b/i/j/k.png"]), ("*/**/k.png", ["b/i/j/k.png"]), ("b**/c.png", ["b/c.png"]),
    ],
)  # fmt: skip
def test_patterns_match_alike_here_and_in_a_store(tmp_path, pattern, names):
    fill(tmp_path, *FILES)
    expected = [str(tmp_path / name) for name in names]
    assert locations.has_wildcard(pattern)
    for place in (f"{tmp_path}/{pattern}", f"fsspec+file://{tmp_path}/{pattern}"):
        assert locations.match(locations.locate(place, "--input")) == expected


def test_a_folder_and_the_pattern_of_all_files_below_it_are_the_same_files(tmp_path):
    fill(tmp_path, *FILES)
    for place in (str(tmp_path), f"fsspec+file://{tmp_path}"):
        found = locations.list_folder(locations.locate(place, "--input"))
        assert found == locations.match(locations.locate(f"{place}/**/*", "--input"))
        assert len(found) == 6


def test_a_pattern_finds_a_file_once_if_a_link_leads_back_and_under_the_name_that_fits(tmp_path):
    fill(tmp_path, "a/b/c.png")
    (tmp_path / "a" / "b" / "loop").symlink_to("..", target_is_directory=True)
    (tmp_path / "z").symlink_to("a", target_is_directory=True)
    assert locations.match(locations.locate(f"{tmp_path}/**/*.png", "--input")) == [f"{tmp_path}/a/b/c.png"]
    assert locations.match(locations.locate(f"{tmp_path}/z*/b/*.png", "--input")) == [f"{tmp_path}/z/b/c.png"]


def test_a_folder_that_can_not_be_read_is_an_error_where_a_pattern_may_fit_files_in_it():
    program = """
        import os, sys
        from ornet_tf.bulk import locations
        os.chdir(sys.argv[1])
        os.geteuid() or os.setuid(65534)
        for text in (".", "**/*.png", "*/*.png", "a*/*.png", "*.png"):
            try:
                print(len(locations.match(locations.locate(text, "")) if "*" in text else
                          locations.list_folder(locations.locate(text, ""))))
            except OSError as error:
                print(error)
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        fill(folder, "a/b.png", "locked/c.png")
        (folder / "locked").chmod(0)
        status, text = forked_programs.run_source(program, name)
        (folder / "locked").chmod(0o700)
    assert (status, text.splitlines()) == (
        0, [f"Cannot read the folder {name}/locked: Permission denied."] * 3 + ["1", "0"]
    ), text


def test_sizes(tmp_path):
    fill(tmp_path, "abc")
    names = [str(tmp_path / "abc"), str(tmp_path / "none"), str(tmp_path)]
    assert locations.sizes(fs.LocalFileSystem(), names) == [3, -1, -1]
