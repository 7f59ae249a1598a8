"""Decoded pictures in memory and in files: the same, once, and nothing half-written that is taken for whole."""
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import picture_cache
from ornet_tf.datasets import Source

SHAPE = (50, 8, 8, 3)
PICTURES = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)


def batches():
    yield from np.split(PICTURES, [7, 20, 49])


def no_batches():
    raise AssertionError("not to be asked for")
    yield


def source_of(files):
    return Source(["a"], files, [f"{i}" for i in range(len(files))], np.zeros(len(files), int))


def test_both_hold_what_they_were_given(tmp_path):
    path = str(tmp_path / "folder" / "pictures")
    for held in (
        picture_cache.in_memory(batches(), SHAPE),
        picture_cache.on_disk(batches(), SHAPE, path),
        picture_cache.on_disk(no_batches(), SHAPE, path),  # it is there
    ):
        assert held.dtype == tf.uint8
        assert held.device.endswith("CPU:0")
        np.testing.assert_array_equal(held, PICTURES)
    assert sorted(os.listdir(tmp_path / "folder")) == ["pictures", "pictures.lock"]


def test_nobody_can_change_the_file_through_the_tensor(tmp_path):
    held = picture_cache.on_disk(batches(), SHAPE, str(tmp_path / "pictures"))
    del held
    np.testing.assert_array_equal(np.fromfile(tmp_path / "pictures", np.uint8).reshape(SHAPE), PICTURES)


def test_a_writer_that_was_killed_leaves_nothing_that_counts(tmp_path):
    program = f"""
        import os, signal
        from tests import picture_cache_test as t
        def some():
            yield t.PICTURES[:20]
            os.kill(os.getpid(), signal.SIGKILL)
        t.picture_cache.on_disk(some(), t.SHAPE, {str(tmp_path / "pictures")!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False, timeout=120)
    assert done.returncode == -9
    assert not os.path.exists(tmp_path / "pictures")
    np.testing.assert_array_equal(picture_cache.on_disk(batches(), SHAPE, str(tmp_path / "pictures")), PICTURES)


def test_a_disk_that_fills_up_is_said_and_nothing_stays(tmp_path):
    program = f"""
        import resource, signal
        from tests import picture_cache_test as t
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            t.picture_cache.on_disk(t.batches(), t.SHAPE, {str(tmp_path / "pictures")!r})
        except OSError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120, capture_output=True, text=True
    )
    assert "pictures could not be written: File too large. Free some space, name another config.input" in done.stdout
    assert os.listdir(tmp_path) == ["pictures.lock"]


def test_what_does_not_fit_is_refused_before_anything_is_decoded(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(ValueError, match="need .* GiB in .* are free. Free some"):
        picture_cache.on_disk(no_batches(), (2 * free // 192, 8, 8, 3), str(tmp_path / "pictures"))
    with pytest.raises(ValueError, match="need .* GiB of memory, .* are free. Set config.input.cache to disk"):
        picture_cache.in_memory(no_batches(), (2 * picture_cache.free_memory() // 192, 8, 8, 3))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="could not be made: .*Name another config.input.cache_dir"):
        picture_cache.on_disk(no_batches(), SHAPE, str(tmp_path / "file" / "pictures"))


def test_auto_keeps_in_memory_what_needs_a_quarter_of_it():
    free = picture_cache.free_memory()
    assert 0 < free < 2**50
    assert picture_cache.choose("auto", free // 5) == "memory"
    assert picture_cache.choose("auto", free // 3) == "none"
    for kind in ("none", "memory", "disk"):
        assert picture_cache.choose(kind, 10 * free) == kind


def test_another_picture_order_or_size_has_another_fingerprint(tmp_path):
    paths = []
    for name in "ab":
        path = tmp_path / name
        path.write_bytes(name.encode())
        paths.append(str(path))
    seen = [
        picture_cache.fingerprint(source_of(paths), 8),
        picture_cache.fingerprint(source_of(paths), 9),
        picture_cache.fingerprint(source_of(paths[::-1]), 8),
        picture_cache.fingerprint(source_of(paths[:1]), 8),
        picture_cache.fingerprint(source_of([b"a", b"b"]), 8),
        picture_cache.fingerprint(source_of([b"a", b"c"]), 8),
    ]
    assert picture_cache.fingerprint(source_of(paths), 8) == seen[0]
    (tmp_path / "b").write_bytes(b"other")
    seen.append(picture_cache.fingerprint(source_of(paths), 8))
    assert len(set(seen)) == len(seen)


def test_a_pipeline_over_a_mapped_file_holds_none_of_it_itself(tmp_path):
    # tf.data's default optimisations would copy the tensor: anonymous memory would grow by all of it.
    program = f"""
        import numpy as np, tensorflow as tf
        from ornet_tf import picture_cache, input_pipeline
        from ornet_tf.datasets import Source
        shape = (1000, 256, 256, 3)
        part = np.zeros((100, *shape[1:]), np.uint8)
        held = picture_cache.on_disk((part for _ in range(10)), shape, {str(tmp_path / "pictures")!r})
        def anonymous():
            with open("/proc/self/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) // 1024
        def count(pictures):
            dataset = tf.data.Dataset.range(40).map(lambda i: tf.reduce_max(tf.gather(pictures, i)))
            return len(list(input_pipeline._finished(dataset)))
        count(tf.zeros([40, 1], tf.uint8))
        before = anonymous()
        print(count(held), anonymous() - before)
    """
    if not os.path.exists("/proc/self/status"):
        pytest.skip("how much memory a process holds itself is read from /proc")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120, capture_output=True, text=True
    )
    count, grown = map(int, done.stdout.split())
    assert count == 40
    assert grown < 60  # MiB, of 188
