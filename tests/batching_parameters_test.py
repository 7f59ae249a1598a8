"""The batching parameters file is read as TensorFlow Serving reads it, and what is wrong with it is said."""
import pytest

from serving.batching_parameters import Parameters, read
from tests import source_tree

DEPLOYED = source_tree.ROOT / "serving" / "deploy" / "batching_parameters.txt"


def test_the_file_of_the_deployment_is_read():
    assert read(DEPLOYED) == Parameters(64, 2000, 16, 4, True, 8)


def test_what_a_file_leaves_out_has_tensorflow_servings_defaults(tmp_path):
    (tmp_path / "batching").write_text("max_batch_size { value: 6 } enable_large_batch_splitting { value: False }")
    assert read(tmp_path / "batching") == Parameters(max_batch_size=6, max_execution_batch_size=6)
    (tmp_path / "batching").write_text('thread_pool_name { value: "batches" } batch_timeout_micros {}')
    assert read(tmp_path / "batching") == Parameters()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 3", r"expected max_batch_size \{ ... \}"),
        ("max_batch_size {}", "expected at least 1 for max_batch_size, found 0"),
        ("max_batch_size { other: 3 }", r"expected one value, found \[\]"),
        ('max_batch_size { value: "6" }', "expected a number for value, found '\"6\"'"),
        ("max_batch_size { value: 1 } max_batch_size { value: 1 }", "expected max_batch_size once, found it 2 times"),
        ("max_batch_size { value: 0 }", "expected at least 1 for max_batch_size, found 0"),
        ("enable_large_batch_splitting { value: 2 }", "expected true or false for .*, found '2'"),
        (
            "max_execution_batch_size { value: 2000 } enable_large_batch_splitting { value: t }",
            "at most max_batch_size, found 2000 and 1000",
        ),
        ("allowed_batch_sizes: 8", "expected max_batch_size, .*, found allowed_batch_sizes"),
        ("max_batch_size {", "expected the name of a field, found 'end of file'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, text, message):
    (tmp_path / "batching").write_text(text)
    with pytest.raises(ValueError, match=f"^Cannot read .*batching as batching parameters: .*{message}.*[.]$"):
        read(tmp_path / "batching")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="Cannot read .*none: No such file .*; is it the batching parameters"):
        read(tmp_path / "none")
