"""Caches in memory and on disk: equal images, decoded once, and no incomplete file that is read."""
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


def cached_images(source, side=9, kind="memory", folder=""):
    return images_of(source, image_cache.open_cache(source, side=side, kind=kind, folder=str(folder)))


def run(program, **options):
    """Runs a program in a subprocess and returns its result; its `source` has 40 images of 16 x 16 pixels."""
    lines = """
        import os, resource, signal
        import numpy as np, tensorflow as tf
        from ornet_tf.data import input_pipeline, image_cache
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
def test_cached_images_equal_the_decoded_ones(files, tmp_path, monkeypatch, part_bytes):
    monkeypatch.setattr(image_cache, "_PART_BYTES", part_bytes)
    source = source_of([str(path) for path in files])
    for side in (9, 5):
        decoded = images_of(source, image_store.decoder(source, side=side))
        assert [image.shape for image in decoded] == [(side, side, 3)] * 3
        for kind in ("memory", "disk"):
            np.testing.assert_array_equal(cached_images(source, side, kind, tmp_path / "cache"), decoded)


def test_images_are_decoded_once_for_a_source_and_released_with_it(files):
    source = source_of([str(path) for path in files])
    first, before = cached_images(source), len(image_cache._open_caches)
    for path in files:
        path.unlink()
    np.testing.assert_array_equal(cached_images(source), first)
    assert len(image_cache._open_caches) == before
    with pytest.raises(tf.errors.NotFoundError):
        cached_images(source_of(source.images))  # another source, though an equal one
    del source
    gc.collect()
    assert len(image_cache._open_caches) == before - 1


def test_a_later_run_reuses_the_file_and_a_changed_data_set_gets_another(encode, files, tmp_path):
    paths, folder = [str(path) for path in files], tmp_path / "cache"
    first = cached_images(source_of(paths), kind="disk", folder=folder)
    assert len(list(folder.iterdir())) == 1
    np.testing.assert_array_equal(cached_images(source_of(paths), kind="disk", folder=folder), first)
    assert len(list(folder.iterdir())) == 1
    np.testing.assert_array_equal(cached_images(source_of(paths[::-1]), kind="disk", folder=folder), first[::-1])
    assert len(cached_images(source_of(paths[:2]), kind="disk", folder=folder)) == 2
    files[1].write_bytes(encode(np.zeros((9, 9, 3), np.uint8)))
    assert not cached_images(source_of(paths), kind="disk", folder=folder)[1].any()
    assert len(list(folder.iterdir())) == 4


@pytest.mark.slow
def test_a_killed_writer_leaves_no_file_that_is_read(tmp_path):
    killed = run(
        f"""
        decode_parts = image_cache._decode_parts
        def decode_part_and_die(*arguments):
            for part in decode_parts(*arguments):
                yield part[:20]
                os.kill(os.getpid(), signal.SIGKILL)
        image_cache._decode_parts = decode_part_and_die
        image_cache.open_cache(source, side=16, kind="disk", folder={str(tmp_path)!r})
        """, check=False,
    )
    assert killed.returncode == -9
    whole = run(
        f"""
        image = image_cache.open_cache(source, side=16, kind="disk", folder={str(tmp_path)!r})
        print([int(image(i).numpy().min()) for i in range(40)] == [7] * 40)
        """, check=True,
    )
    assert whole.stdout == "True\n"
    assert len([path for path in tmp_path.iterdir() if not path.name.startswith(".")]) == 1


def test_a_failed_write_is_reported_and_leaves_no_file(tmp_path):
    done = run(
        f"""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            image_cache.open_cache(source, side=16, kind="disk", folder={str(tmp_path)!r})
        except OSError as error:
            print(error)
        """, check=True,
    )
    assert "cache: " in done.stdout and "File too large" in done.stdout and "another cache_dir" in done.stdout
    assert not os.listdir(tmp_path)


def test_caches_that_do_not_fit_are_refused_before_decoding(tmp_path, monkeypatch):
    source = source_of([b"not an image"] * 10)
    usage = image_cache.shutil.disk_usage(tmp_path)._replace(free=2429)
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match="cache=disk needs 2430 bytes .* 2429 are free"):
        cached_images(source, kind="disk", folder=tmp_path)
    monkeypatch.setattr(main_memory, "available_bytes", lambda: 2429)
    with pytest.raises(ValueError, match="cache=memory needs 2430 bytes .* 2429 are available"):
        cached_images(source)
    with pytest.raises(ValueError, match="cache=disk needs a folder"):
        cached_images(source, kind="disk")


def test_auto_is_memory_if_that_needs_at_most_a_quarter_of_it(monkeypatch):
    source = source_of([b""] * 10)
    for available, chosen in ((4 * 2430, "memory"), (4 * 2430 - 4, "none")):
        monkeypatch.setattr(main_memory, "available_bytes", lambda available=available: available)
        assert image_cache.choose_kind("auto", source, side=9) == chosen
        for kind in ("none", "memory", "disk"):
            assert image_cache.choose_kind(kind, source, side=9) == kind


def test_a_pipeline_over_a_mapped_file_does_not_copy_it(tmp_path):
    # tf.data's default optimizations would copy the tensor to anonymous memory.
    if not os.path.exists("/proc/self/status"):
        pytest.skip("the anonymous memory of a process is read from /proc")
    done = run(
        f"""
        image = image_cache.open_cache(source, side=1280, kind="disk", folder={str(tmp_path)!r})
        def anonymous():
            with open("/proc/self/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) // 1024
        def count(function):
            dataset = tf.data.Dataset.range(40).map(lambda i: tf.reduce_max(function(i)))
            return len(list(input_pipeline.with_prefetch(dataset)))
        small = tf.zeros([40, 1], tf.uint8)
        count(lambda i: small[i])
        before = anonymous()
        print(count(image), anonymous() - before)
        """, check=True,
    )
    count, grown = map(int, done.stdout.split())
    assert count == 40
    assert grown < 60  # MiB, of 188
