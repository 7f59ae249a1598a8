"""What every format does: the boxes come back, nothing stale remains, files of others stay, images are not kept."""
import json
import subprocess
import sys
import weakref
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from ornet_tf import formats, registry
from ornet_tf.errors import UserError
from tests import source_tree
from tests.formats import birds, reading

FORMATS = registry.choices("formats")
every_format = pytest.mark.parametrize("name", FORMATS)


def write(name, images, folder, class_names=birds.CLASS_NAMES):
    registry.find("formats", name)(images, class_names, str(folder))


def contents(folder):
    """Path below a folder -> content of the file, or target of the link."""
    files = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in files
    }


def expect_same(name, images, folder):
    sizes = {image.name: (image.height, image.width) for image in images}
    found = reading.read(name, folder, sizes)
    assert list(found) == [image.name for image in images]
    for image in images:
        assert [label for label, _ in found[image.name]] == [box.class_name for box in image.boxes]
        expected = np.reshape([image.pixels(box) for box in image.boxes], [-1, 4])
        got = np.reshape([corners for _, corners in found[image.name]], [-1, 4])
        np.testing.assert_allclose(got, expected, rtol=0, atol=reading.precision(name, image.height, image.width))


def test_the_formats_are_those_that_the_documentation_names():
    assert FORMATS == ["coco", "csv", "jsonl", "label_studio", "voc", "yolo"]


@every_format
def test_boxes_and_images_without_one_come_back(name, tmp_path):
    write(name, birds.images(), tmp_path)
    expect_same(name, birds.images(), tmp_path)


@every_format
@pytest.mark.parametrize("seed", range(5))
def test_any_boxes_come_back_to_within_the_precision_of_the_format(name, seed, tmp_path):
    images = birds.random_images(seed)
    write(name, images, tmp_path)
    expect_same(name, images, tmp_path)


@every_format
def test_there_may_be_no_image(name, tmp_path):
    write(name, [], tmp_path, [])
    assert reading.read(name, tmp_path, {}) == {}


@every_format
def test_a_second_run_leaves_what_it_would_write_alone(name, tmp_path):
    write(name, birds.images(), tmp_path / "twice")
    (tmp_path / "twice" / "notes.txt").write_text("mine")
    write(name, birds.images()[2:], tmp_path / "twice")
    write(name, birds.images()[2:], tmp_path / "once")
    found = contents(tmp_path / "twice")
    assert found.pop("notes.txt") == "mine"
    assert found == contents(tmp_path / "once")
    assert [path.name for path in tmp_path.rglob(".partial")] == []


@every_format
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_run_that_fails_changes_nothing(name, error, tmp_path):
    def failing():
        yield from birds.images()[:2]
        raise error

    write(name, birds.images(), tmp_path)
    before = contents(tmp_path)
    with pytest.raises(error):
        write(name, failing(), tmp_path)
    assert contents(tmp_path) == before


@every_format
def test_a_file_of_others_is_never_replaced(name, tmp_path):
    write(name, birds.images(), tmp_path / "probe")
    first = next(path for path in contents(tmp_path / "probe") if path != ".written")
    mine = tmp_path / "out" / first
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UserError, match="is not a file of an earlier run, so it is not replaced; move it, or "):
        write(name, birds.images(), tmp_path / "out")
    assert contents(tmp_path / "out") == {first: "mine"}


@every_format
def test_images_are_not_kept_in_memory(name, tmp_path):
    alive, most = weakref.WeakSet(), 0

    def passing():
        nonlocal most
        for image in birds.random_images(0, count=50):
            fresh = type(image)(**vars(image))
            alive.add(fresh)
            yield fresh
            del fresh, image
            most = max(most, len(alive))

    write(name, passing(), tmp_path)
    assert most <= 2


@every_format
def test_names_of_any_kind_are_written_as_they_are(name, tmp_path):
    odd = "wren's \"nest\", <é> & 100 %/鳥 ü.jpg"
    image = birds.images()[0]
    image = type(image)(f"birds/{odd}", odd, 1, image.width, image.height, image.boxes)
    write(name, [image], tmp_path)
    expect_same(name, [image], tmp_path)


def unprintable():
    """Every character that ends a line for `str.splitlines`, that PyYAML refuses, or that XML can't hold."""
    characters = map(chr, [*range(0x110), *range(0x2020, 0x2030), *range(0xD7F0, 0xE010), *range(0xFFF0, 0x10010)])
    for character in characters:
        is_xml = character >= " " and not "\ud800" <= character <= "\udfff" and character not in "\ufffe\uffff"
        if len(f"a{character}b".splitlines()) > 1 or yaml.reader.Reader.NON_PRINTABLE.search(character) or not is_xml:
            yield character


@every_format
def test_names_in_one_line_can_be_read_by_every_reader(name, tmp_path):
    odd = "".join(unprintable())
    assert {"\x00", "\x1c", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "\uffff"} <= set(odd)
    label, file = formats.one_line(f"wr{odd}en"), formats.one_line("a\x85\u2028b.jpg")
    assert (label, file) == (f"wr{'_' * len(odd)}en", "a__b.jpg")
    assert formats.one_line("é 鳥 😀\xa0") == "é 鳥 😀\xa0"
    box = formats.Box((0.0, 0.0, 1.0, 1.0), 1, label, 0.5, 1)
    image = formats.LocalizedImage(f"birds/{file}", file, 1, 50, 50, (box,))
    write(name, [image], tmp_path, ["sparrow", label])
    expect_same(name, [image], tmp_path)
    for path in tmp_path.rglob("*.xml"):
        ElementTree.parse(path)


def test_tensorflow_is_not_imported():
    program = (
        "import sys; from ornet_tf import registry; from ornet_tf.inference import annotations\n"
        "for name in registry.choices('formats'): registry.find('formats', name)\n"
        "import csv; csv.writer; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=source_tree.ROOT, check=False).returncode == 0


def test_readers_tell_formats_apart(tmp_path):
    """The tests above could not fail if `reading` ignored what is written."""
    write("jsonl", birds.images(), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "boxes.jsonl").read_text().splitlines()]
    lines[0]["boxes"][0]["box_pixels"][0] += 1
    (tmp_path / "boxes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(AssertionError):
        expect_same("jsonl", birds.images(), tmp_path)
