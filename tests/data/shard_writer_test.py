"""Copies of data sets in shards: equal contents, interruptions, foreign folders, damage, full disks."""
import collections
import os
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import file_lock
from ornet_tf.data import image_store, shard_index, shard_writer
from ornet_tf.data.source import Source, read_encoded
from tests.data import drawn_shards


@pytest.fixture
def files(tmp_path, encode):
    return drawn_shards.single_files(tmp_path / "files", encode)


def shards(folder):
    return sorted(path.name for path in folder.glob("*.tfrecord"))


def states(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tfrecord")}


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_copy_has_the_same_files_names_labels_boxes_and_masks(files, tmp_path, split):
    copy = drawn_shards.write(files, tmp_path / "shards", split)
    assert (copy.class_names, copy.names) == (files.class_names, files.names)
    np.testing.assert_array_equal(copy.labels, files.labels)
    assert [boxes.tolist() for boxes in copy.boxes] == [boxes.tolist() for boxes in files.boxes]
    assert {boxes.dtype for boxes in copy.boxes} == {np.dtype(np.float32)}
    assert [read_encoded(image) for image in copy.images] == [read_encoded(image) for image in files.images]
    for mask, original in zip(copy.masks, files.masks):
        assert os.path.exists(mask.file) == os.path.exists(original)
        assert not os.path.exists(original) or read_encoded(mask) == read_encoded(original)
    assert shards(tmp_path / "shards") == [
        *(f"{split}-0000{i}-of-00003.tfrecord" for i in range(3)),
        *(f"{split}-masks-0000{i}-of-00002.tfrecord" for i in range(2)),
    ]


def test_only_training_images_are_stored_in_random_order(files, tmp_path):
    def order(split):
        copy = drawn_shards.write(files, tmp_path / split, split)
        return sorted(range(len(copy)), key=lambda i: copy.images[i])

    assert order("test") == list(range(10))
    assert order("train") != list(range(10)) and order("train") == order("train")


def test_a_split_without_boxes_and_masks_and_a_missing_split_stay_so(files, tmp_path):
    copy = drawn_shards.write(drawn_shards.without_extras(files), tmp_path / "shards")
    assert copy.boxes is None and copy.masks is None
    with pytest.raises(ValueError, match="no test"):
        shard_index.read_split(tmp_path / "shards", "test")


def test_files_in_memory_can_be_copied(files, tmp_path):
    encoded = [read_encoded(image) for image in files.images]
    in_memory = Source(files.class_names, encoded, files.names, files.labels)
    copy = drawn_shards.write(in_memory, tmp_path / "shards")
    assert [read_encoded(image) for image in copy.images] == encoded


def test_shards_can_be_copied_to_shards_of_another_size(files, tmp_path):
    copy = drawn_shards.write(files, tmp_path / "shards")
    again = drawn_shards.write(copy, tmp_path / "again", per_shard=7)
    assert [read_encoded(image) for image in again.images] == [read_encoded(image) for image in files.images]
    assert [os.path.exists(mask.file) for mask in again.masks] == [os.path.exists(mask) for mask in files.masks]
    assert len({image.file for image in again.images}) == 2


def test_a_stopped_conversion_continues_with_the_missing_shards(files, tmp_path, monkeypatch):
    folder, write_shard, written = tmp_path / "shards", shard_writer._write_shard, []

    def stop_at_third(path, *rest):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        return write_shard(path, *rest)

    monkeypatch.setattr(shard_writer, "_write_shard", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        drawn_shards.write(files, folder)
    with pytest.raises(ValueError, match="expected a complete data set in shards"):
        shard_index.read_split(folder, "train")
    before = states(folder)
    monkeypatch.undo()
    (folder / "train-00002-of-00003.tfrecord.partial").write_bytes(b"of a killed process")
    copy = drawn_shards.write(files, folder)
    assert len(before) == 2 and before.items() <= states(folder).items()
    assert [read_encoded(image) for image in copy.images] == [read_encoded(image) for image in files.images]
    assert not list(folder.glob("*.partial"))


def test_a_killed_conversion_leaves_only_whole_shards_and_can_be_repeated(files, tmp_path):
    program = """
        import os, pathlib, signal, sys
        from ornet_tf.data import shard_writer
        from tests.data import drawn_shards
        names, replace = [], os.replace
        def kill(aside, path):
            names.append(path)
            if len(names) == 3:  # the plan, a shard, and the second one, written but not renamed
                os.kill(os.getpid(), signal.SIGKILL)
            replace(aside, path)
        os.replace = kill
        folder = pathlib.Path(sys.argv[1])
        drawn_shards.write(drawn_shards.of_folder(folder / "files"), folder / "shards")
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    done = subprocess.run(command, timeout=120, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert shards(tmp_path / "shards") == ["train-00000-of-00003.tfrecord"]
    copy = drawn_shards.write(files, tmp_path / "shards")
    assert [read_encoded(image) for image in copy.images] == [read_encoded(image) for image in files.images]


def test_a_damaged_shard_is_written_again_by_the_same_command(files, tmp_path):
    drawn_shards.write(files, tmp_path / "shards")
    path = tmp_path / "shards" / "train-00001-of-00003.tfrecord"
    content = path.read_bytes()
    for damaged in (content[:-3], content[:50] + b"?" + content[51:], b""):
        path.write_bytes(damaged)
        drawn_shards.write(files, tmp_path / "shards")
        assert path.read_bytes() == content


@pytest.mark.parametrize("change", ["file", "per_shard", "folder"])
def test_other_images_other_shards_and_foreign_folders_are_refused(files, tmp_path, change):
    folder = tmp_path / "shards"
    if change == "folder":
        folder.mkdir()
        (folder / "thesis.tex").write_text("mine")
        expected = "expected a new or empty folder, got 'thesis.tex'"
    else:
        drawn_shards.write(files, folder)
        expected = "expected the shards of these images"
    if change == "file":
        pathlib.Path(files.images[3]).write_bytes(b"changed")
    before = states(folder)
    with pytest.raises(ValueError, match=expected) as error:
        drawn_shards.write(files, folder, per_shard=5 if change == "per_shard" else 4)
    assert "\n" not in str(error.value) and states(folder) == before


def test_a_folder_that_another_process_writes_is_refused(files, tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    with file_lock.locked_folder(folder, "shards") as is_locked:
        assert is_locked
        with pytest.raises(ValueError, match="another process is writing it"):
            drawn_shards.write(files, folder)
        assert not list(folder.iterdir())
    drawn_shards.write(files, folder)


def test_an_image_that_cannot_be_read_is_named(files, tmp_path):
    pathlib.Path(files.images[7]).unlink()
    with pytest.raises(ValueError, match="007.png can't be copied: file not found. Repair it or remove it"):
        drawn_shards.write(files, tmp_path / "shards")


def test_too_little_space_is_found_before_anything_is_written(files, tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shard_writer.shutil, "disk_usage", lambda _: usage(100, 0, 100))
    with pytest.raises(ValueError, match=r"the shards need \d+ more bytes .* and 100 are free. Free some space"):
        drawn_shards.write(files, tmp_path / "shards")
    assert not shards(tmp_path / "shards")


def test_a_shard_that_differs_when_it_is_read_again_is_not_kept(files, tmp_path, monkeypatch):
    def damage(path):
        with open(path, "r+b") as file:
            file.seek(40)
            file.write(b"?!")

    monkeypatch.setattr(shard_writer, "_drop_from_memory", damage)
    with pytest.raises(OSError, match="could not be written: what was read again differs from what was written"):
        drawn_shards.write(files, tmp_path / "shards")
    assert not shards(tmp_path / "shards") and not list((tmp_path / "shards").glob("*.partial"))


def test_damage_costs_only_its_record_and_has_a_reason(files, tmp_path):
    copy = drawn_shards.write(files, tmp_path / "shards")
    first, second = copy.images[2], copy.images[5]
    for record, place in ((first, record_middle(first)), (second, second.offset)):
        with open(record.file, "r+b") as file:
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 1]))
    broken = image_store.measure(copy).broken
    assert broken == [(copy.names[2], "damaged record of a shard"), (copy.names[5], "damaged record of a shard")]


def record_middle(record):
    return record.offset + 12 + record.length // 2


def test_a_missing_shard_costs_only_its_images(files, tmp_path):
    copy = drawn_shards.write(files, tmp_path / "shards")
    os.remove(copy.images[0].file)
    lost = [name for name, image in zip(copy.names, copy.images) if image.file == copy.images[0].file]
    assert image_store.measure(copy).broken == [(name, "file not found") for name in lost]


def test_the_shards_are_ordinary_tfrecord_files(files, tmp_path):
    copy = drawn_shards.write(files, tmp_path / "shards", "test")
    paths = sorted({image.file for image in copy.images})
    records = [record.numpy() for record in tf.data.TFRecordDataset(paths)]
    assert records == [read_encoded(image) for image in files.images]
