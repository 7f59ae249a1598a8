import pytest
import tensorflow as tf

from ornet_tf import errors, program


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.UserError("Expected a."), "Expected a."),
        (errors.NotFiniteError("loss = nan"), "loss = nan"),
        (errors.MissingPackageError("pip install it"), "pip install it"),
        (FileNotFoundError(2, "No such file or directory", "x.txt"), "[Errno 2] No such file or directory: 'x.txt'"),
        (tf.errors.NotFoundError(None, None, "x.txt; No such file or directory"), "x.txt; No such file or directory"),
        (tf.errors.FailedPreconditionError(None, None, "runs; Is a directory"), "runs; Is a directory"),
        (tf.errors.NotFoundError(None, None, "No registered 'Conv2D' OpKernel for 'GPU' devices"), ""),
        (tf.errors.FailedPreconditionError(None, None, "Could not find variable x"), ""),
        (tf.errors.UnavailableError(None, None, "Connection reset by peer"), "Connection reset by peer"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "Not enough memory or disk space: OOM"),
        (
            tf.errors.InvalidArgumentError(None, None, "assertion failed: [Not a readable image: an empty file]"),
            "An image can't be used: an empty file. It has changed since the images were checked.",
        ),
        (tf.errors.InvalidArgumentError(None, None, "Incompatible shapes: [2] vs. [3]"), ""),
        (ValueError("too many values to unpack"), ""),
        (TypeError("f() takes 1 positional argument"), ""),
        (KeyError("a"), ""),
    ],
)
def test_user_errors_have_a_message_and_bugs_have_none(error, message):
    assert program.user_message(error) == message


@pytest.mark.parametrize(("kind", "message"), [(errors.UserError, "Expected a."), (ValueError, "")])
def test_an_error_of_a_graph_s_python_code_keeps_its_message(kind, message):
    def fails(x):
        if x > 0:  # for AutoGraph to convert
            raise kind("Expected a.")
        return x

    with pytest.raises(kind) as error:
        tf.function(fails)(tf.constant(1.0))
    assert program.user_message(error.value) == message
