"""What serving/README.md says of TFLite: the operations that do not convert, and what does."""
import numpy as np
import pytest
import tensorflow as tf

from ornet_tf import build

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize(
    ("signature", "missing"),
    [
        ("image_tensor", {"ScaleAndTranslate", "LowerBound"}),
        ("serving_default", {"ExtractJpegShape", "IgnoreErrorsDataset"}),
    ],
)
def test_operations_that_converters_lack_are_those_that_are_named(exported, signature, missing):
    converter = tf.lite.TFLiteConverter.from_saved_model(exported, signature_keys=[signature])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    converter._experimental_lower_tensor_list_ops = False  # as the converter itself asks for, where strings are mapped
    with pytest.raises(Exception, match="Custom ops: ") as failed:
        converter.convert()
    named = str(failed.value).split("Custom ops: ")[1].splitlines()[0].split(", ")
    assert missing <= set(named)
    if signature == "image_tensor":
        assert missing == set(named)


def test_the_network_converts_and_computes_the_same(tiny_run):
    config, workdir = tiny_run
    method = build.trained_method(config, config.export.row, workdir, 3)
    view = tf.TensorSpec([1, config.input.crop, config.input.crop, 3], tf.float32)
    network = tf.function(method.predict).get_concrete_function(view)
    model = tf.lite.TFLiteConverter.from_concrete_functions([network], method.parts["generator"]).convert()
    interpreter = tf.lite.Interpreter(model_content=model)
    interpreter.allocate_tensors()
    pixels = np.random.default_rng(0).random(view.shape, np.float32) * 255
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    found = [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
    for expected in method.predict(tf.constant(pixels)).values():
        (same,) = (value for value in found if value.shape == expected.shape)
        np.testing.assert_allclose(same, expected, atol=1e-4)
