"""Decoded images in memory and in files: the same, once, and nothing half-written that is taken for whole."""
import gc
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.data import image_cache, image_store, main_memory
from ornet_tf.data.source import Source


def source_of(files):
    return Source(["a"], files, [str(i) for i in range(len(files))], np.zeros(len(files), int))


def images_of(source, function):
    dataset = image_store.parallel_map(tf.data.Dataset.range(len(source)), function)
    return list(dataset.as_numpy_iterator())


def held(source, side=9, kind="memory", folder=""):
    return images_of(source, image_cache.open_cache(source, side=side, kind=kind, folder=str(folder)))


def run(program, **options):
    """Runs a program in a process of its own and returns it; `source` is there, of 40 images of 16 x 16 pixels."""
    lines = """
        import os, resource, signal
        import numpy as np, tensorflow as tf
        from ornet_tf import input_pipeline, image_cache
        from tests.data.image_cache_test import source_of
        png = tf.io.encode_png(np.full((16, 16, 3), 7, np.uint8)).numpy()
        source = source_of([png] * 40)
    """
    text = textwrap.dedent(lines) + textwrap.dedent(program)
    return subprocess.run([sys.executable, "-c", text], timeout=120, capture_output=True, text=True, **options)


@pytest.fixture
def files(encode, tmp_path):
    """The paths of three images of 9 x 9 pixels."""
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, pixels in zip(paths, np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), np.uint8)):
        path.write_bytes(encode(pixels))
    return paths


@pytest.mark.parametrize("part_bytes", [1, 500, 10**6])
def test_held_images_are_the_decoded_ones(files, tmp_path, monkeypatch, part_bytes):
    monkeypatch.setattr(image_cache, "_PART_BYTES", part_bytes)
    source = source_of([str(path) for path in files])
    for side in (9, 5):
        decoded = images_of(source, image_store.decoder(source, side=side))
        assert [image.shape for image in decoded] == [(side, side, 3)] * 3
        for kind in ("memory", "disk"):
            np.testing.assert_array_equal(held(source, side, kind, tmp_path / "cache"), decoded)


def test_images_are_decoded_once_for_a_source_and_let_go_with_it(files):
    source = source_of([str(path) for path in files])
    first, before = held(source), len(image_cache._held)
    for path in files:
        path.unlink()
    np.testing.assert_array_equal(held(source), first)
    assert len(image_cache._held) == before
    with pytest.raises(tf.errors.NotFoundError):
        held(source_of(source.images))  # another source, though an equal one
    del source
    gc.collect()
    assert len(image_cache._held) == before - 1


def test_a_later_run_finds_the_file_again_and_a_changed_data_set_gets_another(encode, files, tmp_path):
    paths, folder = [str(path) for path in files], tmp_path / "cache"
    first = held(source_of(paths), kind="disk", folder=folder)
    assert len(list(folder.iterdir())) == 1
    np.testing.assert_array_equal(held(source_of(paths), kind="disk", folder=folder), first)
    assert len(list(folder.iterdir())) == 1
    np.testing.assert_array_equal(held(source_of(paths[::-1]), kind="disk", folder=folder), first[::-1])
    assert len(held(source_of(paths[:2]), kind="disk", folder=folder)) == 2
    files[1].write_bytes(encode(np.zeros((9, 9, 3), np.uint8)))
    assert not held(source_of(paths), kind="disk", folder=folder)[1].any()
    assert len(list(folder.iterdir())) == 4


@pytest.mark.slow
def test_a_writer_that_was_killed_leaves_nothing_that_counts(tmp_path):
    killed = run(
        f"""
        parts = image_cache._parts
        def some(*arguments):
            for part in parts(*arguments):
                yield part[:20]
                os.kill(os.getpid(), signal.SIGKILL)
        image_cache._parts = some
        image_cache.holder(source, side=16, kind="disk", folder={str(tmp_path)!r})
        """, check=False,
    )
    assert killed.returncode == -9
    whole = run(
        f"""
        image = image_cache.holder(source, side=16, kind="disk", folder={str(tmp_path)!r})
        print([int(image(i).numpy().min()) for i in range(40)] == [7] * 40)
        """, check=True,
    )
    assert whole.stdout == "True\n"
    assert len([path for path in tmp_path.iterdir() if not path.name.startswith(".")]) == 1


def test_a_disk_that_fills_up_is_said_and_nothing_stays(tmp_path):
    done = run(
        f"""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            image_cache.holder(source, side=16, kind="disk", folder={str(tmp_path)!r})
        except OSError as error:
            print(error)
        """, check=True,
    )
    assert "cache: " in done.stdout
    assert "could not be written: File too large. Raise the limit of file sizes" in done.stdout
    assert "start the same command again, with another cache_dir or another cache." in done.stdout
    assert not os.listdir(tmp_path)


def test_what_does_not_fit_is_refused_before_anything_is_decoded(tmp_path, monkeypatch):
    source = source_of([b"not an image"] * 10)
    usage = image_cache.shutil.disk_usage(tmp_path)._replace(free=2429)
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match="cache=disk needs 2430 bytes .* where 2429 are free. Make room"):
        held(source, kind="disk", folder=tmp_path)
    monkeypatch.setattr(main_memory, "available_bytes", lambda: 2429)
    with pytest.raises(ValueError, match="cache=memory needs 2430 bytes .* 2429 are available. Set cache to disk"):
        held(source)
    with pytest.raises(ValueError, match="cache=disk needs a folder"):
        held(source, kind="disk")


def test_auto_keeps_in_memory_what_needs_a_quarter_of_it_at_most(monkeypatch):
    source = source_of([b""] * 10)
    for available, chosen in ((4 * 2430, "memory"), (4 * 2430 - 4, "none")):
        monkeypatch.setattr(main_memory, "available_bytes", lambda available=available: available)
        assert image_cache.choose_kind("auto", source, side=9) == chosen
        for kind in ("none", "memory", "disk"):
            assert image_cache.choose_kind(kind, source, side=9) == kind


def test_a_pipeline_over_a_mapped_file_holds_none_of_it_itself(tmp_path):
    # tf.data's default optimisations would copy the tensor: anonymous memory would grow by all of it.
    if not os.path.exists("/proc/self/status"):
        pytest.skip("how much memory a process holds itself is read from /proc")
    done = run(
        f"""
        image = image_cache.holder(source, side=1280, kind="disk", folder={str(tmp_path)!r})
        def anonymous():
            with open("/proc/self/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) // 1024
        def count(function):
            dataset = tf.data.Dataset.range(40).map(lambda i: tf.reduce_max(function(i)))
            return len(list(input_pipeline.finished(dataset)))
        small = tf.zeros([40, 1], tf.uint8)
        count(lambda i: small[i])
        before = anonymous()
        print(count(image), anonymous() - before)
        """, check=True,
    )
    count, grown = map(int, done.stdout.split())
    assert count == 40
    assert grown < 60  # MiB, of 188
