"""Many images: order, limits of memory, the cost of a broken one."""
import threading

import numpy as np
import pytest

from ornet_tf.errors import ImageRefusedError, UserError
from ornet_tf.inference import batches, detections


class Recorder:
    """A model whose answers hold the length of the image; notes what is asked at once."""

    def __init__(self, refuses=(), error=None, barrier=None):
        self.refuses, self.error, self.barrier = refuses, error, barrier
        self.sizes, self.classes, self.lock, self.current, self.most = [], [], threading.Lock(), 0, 0

    def localize(self, images, *, signature, classes=None):
        with self.lock:
            self.sizes.append(len(images))
            self.classes.append(classes)
            self.current += 1
            self.most = max(self.most, self.current)
        try:
            if self.barrier:
                self.barrier.wait(20)
            if set(images) & set(self.refuses):
                raise ImageRefusedError("HTTP 400")
            if self.error:
                raise self.error
            return [detections.Detections(np.full([1, 4], len(image), np.float32)) for image in images]
        finally:
            with self.lock:
                self.current -= 1

    def close(self):
        """Nothing to close."""


def each(model, images, **options):
    return batches.localize_each(model, images, signature="serving_default", **options)


def found(answers):
    return [answer if isinstance(answer, Exception) else answer.boxes[0, 0] for answer in answers]


def test_each_image_is_asked_with_its_class_also_alone_after_a_refusal():
    model = Recorder(refuses=[b"bad"])
    list(each(model, [b"a", b"bad", b"c", b"d"], batch_size=3, in_flight=1, classes=[5, 6, 7, 8]))
    assert model.classes == [[5, 6, 7], [5], [6], [7], [8]]
    list(each(unlabelled := Recorder(), [b"a"]))
    assert unlabelled.classes == [None]


def test_the_order_is_kept_and_the_numbers_of_images_and_requests_are_bounded():
    model = Recorder()
    images = [bytes(n) for n in range(1, 101)]
    assert found(each(model, images, batch_size=7, in_flight=3)) == list(range(1, 101))
    assert sorted(model.sizes) == [2] + [7] * 14 and model.most <= 3


def test_several_requests_are_under_way_at_once():
    model = Recorder(barrier=threading.Barrier(3))
    assert len(list(each(model, [b"x"] * 6, batch_size=1, in_flight=3))) == 6


def test_images_are_taken_as_they_are_needed():
    taken = []

    def images():
        for n in range(1000):
            taken.append(n)
            yield b"x"

    answers = each(Recorder(), images(), batch_size=2, in_flight=2)
    assert next(answers).boxes[0, 0] == 1
    answers.close()
    assert len(taken) <= 12  # four batches that wait, the one that is made up, the next one's first


def test_large_images_are_sent_in_smaller_batches():
    model = Recorder()
    images = [bytes(5 * 2**20)] * 3 + [b"x"] * 3 + [bytes(20 * 2**20)]
    assert len(found(each(model, images, batch_size=8))) == 7
    assert sorted(model.sizes) == [1, 1, 1, 4]


def test_a_broken_image_costs_its_own_answer_only(tmp_path):
    model = Recorder(refuses=[b"bad"])
    images = [b"1", b"bad", tmp_path / "missing", b"4444", 5.0]
    answers = list(each(model, images))
    assert [type(answer).__name__ for answer in answers] == [
        "Detections", "ImageRefusedError", "FileNotFoundError", "Detections", "TypeError"
    ]  # fmt: skip
    assert sorted(model.sizes) == [1, 1, 1, 3]


@pytest.mark.parametrize("error", [TimeoutError("late"), ConnectionError("gone"), UserError("HTTP 404")])
def test_other_failures_cost_the_batch_and_are_not_repeated(error):
    model = Recorder(error=error)
    assert list(each(model, [b"1", b"2"])) == [error, error]
    assert model.sizes == [2]


def test_files_over_the_limit_are_not_read(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10**12)  # takes no room on disk, and would not fit into memory
    model = Recorder()
    first, second = each(model, [tmp_path / "large", b"1"], max_bytes=100)
    assert str(first) == f"Cannot read {tmp_path / 'large'}: it has 1000000000000 bytes, and at most 100 are read."
    assert second.boxes[0, 0] == 1 and model.sizes == [1]


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"in_flight": 0}])
def test_numbers_out_of_range(options):
    with pytest.raises(ValueError, match=f"Expected {next(iter(options))} of at least 1, but got 0"):
        list(each(Recorder(), [], **options))
