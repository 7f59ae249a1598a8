"""TensorFlow Serving's own messages read the warm-up requests, and the SavedModel answers each of them."""
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.inference import warm_up


class Contract(tf.Module):
    """A module with both kinds of inputs that an export has: files and pixels."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def files(self, image_bytes):
        def decode(encoded):
            return tf.image.resize(tf.io.decode_image(encoded, channels=3, expand_animations=False), [8, 8])

        return self.means(tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec([8, 8, 3], tf.float32)))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image_tensor")])
    def pixels(self, image_tensor):
        return self.means(tf.cast(image_tensor, tf.float32))

    def means(self, images):
        return {"detection_scores": tf.reduce_mean(images, [1, 2, 3])[:, None] / 255.0}


@pytest.fixture(name="saved", scope="module")
def _saved(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("saved") / "1")
    module = Contract()
    tf.saved_model.save(module, path, signatures={"serving_default": module.files, "image_tensor": module.pixels})
    warm_up.write(path)
    return path


@pytest.fixture(name="parse", scope="module")
def _parse():
    """A function that reads a SavedModel's warm-up requests as TensorFlow Serving's PredictRequest messages."""
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    from tensorflow_serving.apis import prediction_log_pb2

    def read(path):
        records = tf.data.TFRecordDataset(os.path.join(path, warm_up.PATH)).as_numpy_iterator()
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
        assert {log.WhichOneof("log_type") for log in logs} == {"predict_log"}
        assert not any(log.predict_log.HasField("response") for log in logs)
        return [log.predict_log.request for log in logs]

    return read


def answer(loaded, requests):
    """Returns the outputs of a loaded SavedModel for each request, by name."""

    def run(request):
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        return loaded.signatures[request.model_spec.signature_name](**inputs)

    return [run(request) for request in requests]


def test_every_signature_has_a_request_of_every_batch_size(saved, parse):
    requests = parse(saved)
    actual = [
        (request.model_spec.signature_name, name, tf.make_ndarray(value).shape[0])
        for request in requests
        for name, value in request.inputs.items()
    ]
    expected = [("image_tensor", "image_tensor", n) for n in warm_up.BATCH_SIZES]
    assert actual == expected + [("serving_default", "image_bytes", n) for n in warm_up.BATCH_SIZES]
    assert all(request.model_spec.name == "" and not request.model_spec.HasField("version") for request in requests)


def test_files_are_a_jpeg_and_a_png_of_the_same_image(saved, parse):
    requests = parse(saved)
    files = tf.make_ndarray(requests[-1].inputs["image_bytes"])
    assert {file[:4] for file in files} == {b"\xff\xd8\xff\xe0", b"\x89PNG"}
    decoded = [tf.io.decode_image(file).numpy().astype(int) for file in files[:2]]
    np.testing.assert_allclose(*decoded, atol=6)
    np.testing.assert_array_equal(decoded[1], tf.make_ndarray(requests[0].inputs["image_tensor"])[0])


def test_the_saved_model_answers_every_request(saved, parse):
    requests = parse(saved)
    sizes = [len(tf.make_ndarray(value)) for request in requests for value in request.inputs.values()]
    for size, outputs in zip(sizes, answer(tf.saved_model.load(saved), requests)):
        np.testing.assert_allclose(outputs["detection_scores"], [[0.5]] * size, atol=0.02)


def test_an_export_answers_its_own_requests(exported, loaded_export, parse):
    requests, signatures = parse(exported), set(loaded_export.signatures)
    assert {request.model_spec.signature_name for request in requests} == signatures
    assert len(requests) == len(signatures) * len(warm_up.BATCH_SIZES)
    for request, outputs in zip(requests, answer(loaded_export, requests)):
        (value,) = request.inputs.values()
        size = len(tf.make_ndarray(value))
        assert {name: len(output) for name, output in outputs.items()} == dict.fromkeys(outputs, size)
        assert np.isfinite(outputs["detection_boxes"]).all()


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        (tf.TensorSpec([None, 3], tf.float32), r"float32 \(None, 3\)"),
        (tf.TensorSpec([None, None], tf.string), r"string \(None, None\)"),
        (tf.TensorSpec([None, None, None, 1], tf.uint8), r"uint8 \(None, None, None, 1\)"),
    ],
)
def test_an_input_that_takes_no_images_is_an_error(tmp_path, spec, shown):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": tf.shape(x)}, input_signature=[tf.TensorSpec(spec.shape, spec.dtype, "x")])
    tf.saved_model.save(module, str(tmp_path), signatures={"odd": module.f})
    with pytest.raises(ValueError, match=f"'x' of the signature 'odd'.* {shown}"):
        warm_up.write(str(tmp_path))
    assert not (tmp_path / warm_up.PATH).exists()


def test_lengths_of_several_bytes_are_encoded(parse):
    from tensorflow_serving.apis import prediction_log_pb2

    for size in (1, 127, 128, 16383, 16384, 70_000):
        sent = np.array([b"x" * size], object)
        log = prediction_log_pb2.PredictionLog.FromString(warm_up.prediction_log("s" * size, {"a": sent, "b": sent}))
        request = log.predict_log.request
        assert request.model_spec.signature_name == "s" * size
        received = {name: tf.make_ndarray(value)[0] for name, value in request.inputs.items()}
        assert received == dict.fromkeys("ab", sent[0])


def test_a_request_that_cannot_be_written_is_an_os_error(saved, tmp_path):
    pathlib.Path(tmp_path, "saved_model.pb").write_bytes(pathlib.Path(saved, "saved_model.pb").read_bytes())
    (tmp_path / warm_up.PATH).mkdir(parents=True)
    with pytest.raises(OSError, match="could not be written to .*tf_serving_warmup_requests"):
        warm_up.write(str(tmp_path))
