import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.data import main_memory


def test_the_available_memory_is_plausible():
    assert 0 < main_memory.available_bytes() < 2**50


def test_more_than_is_available_is_refused(monkeypatch):
    monkeypatch.setattr(main_memory, "available_bytes", lambda: 39)
    with pytest.raises(ValueError, match=r"The table needs 40 bytes .* 39 are available\. Shrink it"):
        main_memory.allocate((5, 2), np.float32, what="The table", remedy="Shrink it.")
    monkeypatch.setattr(main_memory, "available_bytes", lambda: 40)
    assert main_memory.allocate((5, 2), np.float32, what="The table", remedy="Shrink it.").tolist() == [[0, 0]] * 5


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float16, tf.bfloat16, tf.float32])
def test_a_tensor_shares_the_memory_of_its_block(dtype):
    block = main_memory.allocate((3, 5), dtype.as_numpy_dtype, what="", remedy="")
    tensor = main_memory.as_tensor(block)
    assert (tensor.dtype, tensor.shape) == (dtype, [3, 5])
    block[1, 2] = 7
    assert float(tensor[1, 2]) == 7


def test_a_constant_is_in_main_memory():
    made = main_memory.constant([1, 2], tf.int64)
    assert made.dtype == tf.int64
    assert "CPU:0" in made.device
