"""Messages of `ornet_tf.atomic_write` about TensorFlow's errors, and paths that it does not replace."""
import os

import pytest
import tensorflow as tf

from ornet_tf import atomic_write
from tests import forked_programs


@pytest.mark.slow
def test_the_message_of_the_system_replaces_that_of_tensorflow(tmp_path):
    program = f"""
        import resource, signal
        import tensorflow as tf
        from ornet_tf import atomic_write
        variable = tf.Variable(tf.zeros([100000]))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            with atomic_write.explain_failures("It failed"):
                tf.train.Checkpoint(variable=variable).write({str(tmp_path / "a")!r})
        except OSError as error:
            print(error)
    """
    status, text = forked_programs.run_source(program)
    assert status == 0 and "It failed: File too large. Raise the limit of file sizes (ulimit -f)" in text


def test_tensorflow_s_own_message_is_kept_without_operation_names():
    text = "{{function_node __wrapped__SaveV2_device_/device:CPU:0}} Unable to write a; try b [Op:SaveV2]"
    message = "^It failed: Unable to write a; try b[.]"
    with pytest.raises(OSError, match=message), atomic_write.explain_failures("It failed"):
        raise tf.errors.InternalError(None, None, text)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(f"{path}-of-none", path)])
def test_a_path_that_is_not_a_file_is_not_replaced(tmp_path, make):
    path = tmp_path / "a"
    make(path)
    before, opened = path.lstat(), []
    message = "a could not be written: it exists and is not a file"
    with pytest.raises(OSError, match=message), atomic_write.open_file(path):
        opened.append(path)
    assert path.lstat() == before and os.listdir(tmp_path) == ["a"] and not opened
