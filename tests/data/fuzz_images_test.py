import collections
import subprocess
import sys

import numpy as np
import pytest

from tests import broken_files, source_tree
from tests.data import fuzz_images


@pytest.mark.slow
def test_a_small_run_finds_no_mistakes():
    command = [sys.executable, "-m", "tests.data.fuzz_images", "--cases=40", "--first=19", "--seed=5", "--data="]
    done = subprocess.run(command, cwd=source_tree.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "no crash, no hang; every row is right." in done.stdout.splitlines()[-1]


@pytest.fixture(scope="module", name="paths")
def _paths(tmp_path_factory):
    return fuzz_images.Paths(str(tmp_path_factory.mktemp("export")))


@pytest.mark.slow
@pytest.mark.parametrize("saved", [False, True])
def test_mistakes_are_found(paths, saved):
    rng = np.random.default_rng(0)
    good = broken_files.good_files(rng)[:3]
    rows = [("good", good[0], False), ("no image", b"x", True), ("bits flipped", good[1], False)]
    assert fuzz_images.mistakes(paths, rows, saved=saved) == (["", "neither JPEG nor PNG", ""], [])
    _, found = fuzz_images.mistakes(paths, [("good", b"x", False), ("truncated", good[2], True)], saved=saved)
    assert [line.split(": ", 1)[1] for line in found] == [
        "refuses a good file: 'neither JPEG nor PNG'", "accepts a broken file",
    ]


@pytest.mark.slow
def test_swapped_rows_are_found(paths, monkeypatch):
    good = broken_files.good_files(np.random.default_rng(0))[:2]
    answer = paths.answer

    def swapped(files, *, saved):
        values, status = answer(files, saved=saved)
        return values[::-1], status[::-1]

    monkeypatch.setattr(paths, "answer", swapped)
    rows = [("good", good[0], False), ("no image", b"", True)]
    _, found = fuzz_images.mistakes(paths, rows, saved=False)
    assert len(found) >= 4


def test_growing_memory_hangs_and_missing_output_are_failures():
    good = collections.Counter({("good", ""): 3000})
    steady = [(n, 500, 600) for n in range(1000, 3001, 10)]
    lines, is_passed = fuzz_images.report(good, [], steady)
    assert is_passed and lines[-1].endswith("no crash, no hang, no growing memory; every row is right.")
    growing = [(n, 500 + n // 10, 900) for n in range(1000, 3001, 10)]
    lines, is_passed = fuzz_images.report(good, [], growing)
    assert not is_passed and "memory grew by 200 MiB" in lines[-1]
    assert not fuzz_images.report(good, ["batch 3: no answer for 1 s"], steady)[1]
    assert not fuzz_images.report(collections.Counter(), [], [(0, 1, 1)])[1]
    assert fuzz_images.report(collections.Counter(), ["batch None: it died"], [])[0][-1] == "batch None: it died"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as silent:
        with pytest.raises(TimeoutError, match=r"no answer for 0.2 s"):
            list(fuzz_images.lines_of(silent, 0.2))
        silent.kill()


def test_batches_are_functions_of_the_seed_and_their_number():
    good = broken_files.good_files(np.random.default_rng(0))
    first, again = (fuzz_images.batch_of(7, 3, good) for _ in range(2))
    assert first == again != fuzz_images.batch_of(8, 3, good)
    kinds = collections.Counter(kind for n in range(60) for kind, _, _ in fuzz_images.batch_of(n, 0, good))
    assert kinds["good"] >= 60 and len(kinds) > 10
