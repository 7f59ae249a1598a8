"""What `ornet_tf.atomic_write` says of TensorFlow's errors, and what it does not write over."""
import os
import subprocess
import sys
import textwrap

import pytest
import tensorflow as tf

from ornet_tf import atomic_write


def test_tensorflow_s_words_are_left_out_where_the_system_says_what_is_wrong(tmp_path):
    program = f"""
        import resource, signal
        import tensorflow as tf
        from ornet_tf import durable
        variable = tf.Variable(tf.zeros([100000]))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            with durable.writing("It failed"):
                tf.train.Checkpoint(variable=variable).write({str(tmp_path / "a")!r})
        except OSError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120, capture_output=True, text=True
    )
    assert done.stdout.startswith("It failed: File too large. Raise the limit of file sizes (ulimit -f) or")


def test_what_tensorflow_says_itself_is_kept():
    said = "{{function_node __wrapped__SaveV2_device_/device:CPU:0}} Unable to write a; try b [Op:SaveV2]"
    message = "^It failed: Unable to write a; try b. Mend"
    with pytest.raises(OSError, match=message), atomic_write.explain_failures("It failed"):
        raise tf.errors.InternalError(None, None, said)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(f"{path}-of-none", path)])
def test_what_is_no_file_is_not_replaced(tmp_path, make):
    path = tmp_path / "a"
    make(path)
    before, opened = path.lstat(), []
    sentence = "a could not be written: what is there is no file. Something is in the way"
    with pytest.raises(OSError, match=sentence), atomic_write.open_file(path):
        opened.append(path)
    assert path.lstat() == before and os.listdir(tmp_path) == ["a"] and not opened
