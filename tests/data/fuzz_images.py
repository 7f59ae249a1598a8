"""Sends broken images among good ones through the graph of an export, in a subprocess that is monitored.

A broken image must affect no other row: no crash, no hang, no growing memory. The rows of good images stay the same to
the last bit; those of broken images hold zeros and a reason. Both agree with `decoding.decode_scaled`.

  python -m tests.data.fuzz_images --cases=10000
"""
from __future__ import annotations

import collections
import contextlib
import json
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf
from absl import app, flags

from ornet_tf.data import decoding
from ornet_tf.inference import localizer
from tests import broken_files, tiny_methods

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIDE = 32
MOST_IN_BATCH = 12
GROWTH = 100  # MiB; the memory that allocators retain varies by some dozens
# These settings return large blocks to the system as soon as they are freed, so the resident memory is in use.
ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "262144", "MALLOC_ARENA_MAX": "2"}


class Brightness:
    """A method without weights: each pixel of the map is the maximum of 4 x 4 pixels, an exact result in any order."""

    parts = {}

    def predict(self, images):
        """Returns "activation_map" and "logits", as every method does."""
        brightness = tf.reduce_max(images, axis=-1, keepdims=True) / 256.0
        return {
            "activation_map": tf.nn.max_pool2d(brightness, 4, 4, "VALID"),
            "logits": tf.reduce_mean(images, axis=(1, 2)),
        }


class Paths:
    """Two paths through the graph: `decode_each` in a function, and an export that was saved and loaded."""

    def __init__(self, folder):
        model = localizer.Localizer(
            Brightness(), ["red", "green", "blue"], resize=SIDE + 4, crop=SIDE, threshold=0.5, box_rule="largest"
        )
        tiny_methods.save_localize(model, folder)
        self._loaded = tf.saved_model.load(folder)
        decoded = [tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([4], tf.float32)]
        self._see = tf.function(model.to_view, input_signature=decoded)
        self._of_graph = tf.function(model._decode_views, input_signature=[tf.TensorSpec([None], tf.string)])

    def answer(self, files, *, saved):
        """Returns a row of numbers and the status for each file."""
        if saved:
            outputs = self._loaded.signatures["serving_default"](image_bytes=tf.constant(files))
            return outputs["activation_map"].numpy(), outputs["status"].numpy()
        values, status = self._of_graph(tf.constant(files))
        return values.numpy(), status.numpy()

    def alone(self, file, *, saved):
        """Decodes one file with `decoding.decode_scaled`; returns its row of numbers or None, and the reason."""
        try:
            view = self._see(*decoding.decode_scaled(file, target_side=SIDE + 4))[tf.newaxis]
        except tf.errors.InvalidArgumentError as error:
            return None, decoding.refusal_reason(error)
        return (Brightness().predict(view)["activation_map"][..., 0] if saved else view)[0].numpy(), ""


def batch_of(number, seed, good):
    """Returns the (kind, bytes, whether it must be refused) of one batch: a function of its number and the seed."""
    rng = np.random.default_rng([seed, number])
    rows = [("good", good[i], False) for i in rng.integers(0, len(good), rng.integers(1, 4))]
    for _ in range(rng.integers(0, MOST_IN_BATCH - 3)):
        file, other = (good[i] for i in rng.integers(0, len(good), 2))
        rows.append(broken_files.broken(rng, file, other))
    if number < 20:  # large images first, so that the memory that allocators retain is not counted as growth
        rows.append(("nearly too many pixels", broken_files.blank_png(7000, 7000), False))
    return [rows[i] for i in rng.permutation(len(rows))]


def mistakes(paths, rows, *, saved):
    """Returns the status of each row, and a line for each mistake in the answer."""
    values, status = paths.answer([file for _, file, _ in rows], saved=saved)
    status, found = [reason.decode() for reason in status], []
    for place, ((kind, file, must_fail), value, reason) in enumerate(zip(rows, values, status)):
        expected, expected_reason = paths.alone(file, saved=saved)
        for is_wrong, mistake in (
            (reason != expected_reason, f"says {reason!r}, alone {expected_reason!r}"),
            (kind == "good" and reason, f"refuses a good file: {reason!r}"),
            (must_fail and not reason, "accepts a broken file"),
            (reason and value.any(), "has numbers in a refused row"),
            (expected is not None and not np.array_equal(value, expected), "has other numbers than alone"),
        ):
            if is_wrong:
                found.append(f"row {place}, {kind}, {len(file)} bytes: {mistake}")
    return status, found


def answer_all(cases, seed, first, data):
    """Answers batches with `cases` files in total; prints a line of JSON before and after each batch."""
    good = broken_files.good_files(np.random.default_rng(seed), data)
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(folder)
        number = first
        while cases > 0:
            print(json.dumps({"begins": number}), flush=True)
            rows = batch_of(number, seed, good)
            status, wrong = mistakes(paths, rows, saved=bool(number % 2))
            kinds = [kind for kind, _, _ in rows]
            print(json.dumps({"outcomes": list(zip(kinds, status)), "wrong": wrong}), flush=True)
            cases, number = cases - len(rows), number + 1


def lines_of(process, seconds):
    """Yields what the process prints, line by line.

    Raises:
      TimeoutError: if it prints nothing for `seconds`.
    """
    left = b""
    while True:
        if not select.select([process.stdout], [], [], seconds)[0]:
            raise TimeoutError(f"no answer for {seconds} s")
        read = os.read(process.stdout.fileno(), 65536)
        if not read:
            return
        *whole, left = (left + read).split(b"\n")
        yield from map(json.loads, whole)


def memory(process):
    """Returns the resident memory of a process in MiB: the current and the peak size."""
    lines = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return [int(fields[name].split()[0]) // 1024 if name in fields else 0 for name in ("VmRSS", "VmHWM")]


def monitor(cases, seed, first, data, seconds):
    """Runs all cases in a subprocess; returns the outcomes, the mistakes, and the sizes of its memory."""
    command = [sys.executable, "-m", "tests.data.fuzz_images", "--inside", f"--cases={cases}", f"--seed={seed}"]
    outcomes, wrong, sizes, batch = collections.Counter(), [], [], None
    with tempfile.TemporaryFile() as errors, subprocess.Popen(
        [*command, f"--first={first}", f"--data={data}"],
        cwd=ROOT, env={**os.environ, **ALLOCATION}, stdout=subprocess.PIPE, stderr=errors,
    ) as process:
        try:
            for line in lines_of(process, seconds):
                batch = line.get("begins", batch)
                outcomes.update(tuple(outcome) for outcome in line.get("outcomes", ()))
                wrong += [f"batch {batch}: {mistake}" for mistake in line.get("wrong", ())]
                with contextlib.suppress(OSError):  # the process may have ended meanwhile
                    sizes.append((sum(outcomes.values()), *memory(process)))
        except TimeoutError as error:
            process.kill()
            wrong.append(f"batch {batch}: {error}")
        if process.wait() and not wrong:
            errors.seek(0)
            tail = errors.read().decode("utf-8", "replace")[-2000:]
            wrong.append(f"batch {batch}: the process ended with status {process.returncode}: {tail}")
    return outcomes, wrong, sizes


def report(outcomes, wrong, sizes):
    """Returns the lines of the report, and whether there are no mistakes."""
    lines = ["| kind | cases | read | refused | as |", "|---|---|---|---|---|"]
    for kind in ("good", *broken_files.KINDS):
        counts = collections.Counter({reason: n for (key, reason), n in outcomes.items() if key == kind})
        reasons = collections.Counter()
        for reason, count in counts.items():  # sizes and lengths differ between files
            reasons[re.sub(r"\d+", "#", reason)] += count if reason else 0
        shown = "; ".join(f"{n} {reason}" for reason, n in reasons.most_common(4) if n)
        total = sum(counts.values())
        lines.append(f"| {kind} | {total} | {counts['']} | {total - counts['']} | {shown} |")
    thousands = range(1000, sizes[-1][0] if sizes else 0, 1000)
    curve = [next(size for cases, size, _ in sizes if cases >= least) for least in thousands]
    if curve:
        curve.append(sizes[-1][1])
        shown = ", ".join(map(str, curve))
        lines.append(f"Memory after each 1,000 cases and at the end: {shown} MiB; peak {sizes[-1][2]} MiB.")
        if curve[-1] - curve[0] > GROWTH:
            wrong = [*wrong, f"memory grew by {curve[-1] - curve[0]} MiB, more than {GROWTH}"]
    total = sum(outcomes.values())
    lines += wrong or [f"{total} cases: no crash, no hang{', no growing memory' * bool(curve)}; every row is right."]
    return lines, not wrong and total > 0


def main(_) -> None:
    """Prints a table of outcomes and a verdict; the exit status is 1 if there are mistakes."""
    arguments = (_CASES.value, _SEED.value, _FIRST.value, _DATA.value)
    if _INSIDE.value:
        answer_all(*arguments)
        return
    lines, is_passed = report(*monitor(*arguments, _SECONDS.value))
    print("\n".join(lines))
    sys.exit(0 if is_passed else 1)


if __name__ == "__main__":
    _CASES = flags.DEFINE_integer("cases", 10_000, "number of images to send", lower_bound=1)
    _SEED = flags.DEFINE_integer("seed", 0, "seed of the images and of their damage")
    _FIRST = flags.DEFINE_integer("first", 0, "number of the first batch, to repeat one", lower_bound=0)
    _DATA = flags.DEFINE_string("data", os.environ.get("ORNET_CUB10", ""), "folder with more good images")
    _SECONDS = flags.DEFINE_integer("seconds", 120, "seconds without an answer that count as a hang", lower_bound=1)
    _INSIDE = flags.DEFINE_bool("inside", False, "be the subprocess that is monitored")
    app.run(main)
