"""`decoding.decode_each` against `decoding.decode_scaled`: a broken file affects no other row."""
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ornet_tf.data import decoding, file_checks, transforms
from tests import broken_files
from tests.data import fierce_jpegs

SIDE = 20


def view(pixels, frame):
    centre = transforms.evaluation_view(resize=SIDE, crop=SIDE)
    return transforms.apply(pixels, centre, resize=SIDE, crop=SIDE, frame=frame)


@pytest.fixture(scope="module", name="each")
def _each():
    """`decode_each` in a graph for any number of files."""
    spec = [tf.TensorSpec([None], tf.string)]
    return tf.function(
        lambda files: decoding.decode_each(files, view, [SIDE, SIDE, 3], target_side=SIDE), input_signature=spec
    )


@pytest.fixture(scope="module", name="alone")
def _alone():
    decoded = [tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([4], tf.float32)]
    in_graph = tf.function(view, input_signature=decoded)
    return lambda file: in_graph(*decoding.decode_scaled(file, target_side=SIDE)).numpy()


@pytest.fixture(scope="module", name="good")
def _good():
    rng = np.random.default_rng(3)
    large = [broken_files.encode(broken_files.image(rng, side, 160), "JPEG") for side in (81, 163, 320)]
    return [*large, *broken_files.good_files(rng)]


def refused():
    """Files of every kind that can't be decoded, with the reasons."""
    rng = np.random.default_rng(4)
    jpeg = broken_files.encode(broken_files.image(rng, 30, 40), "JPEG", progressive=True)
    png = broken_files.encode(broken_files.image(rng, 30, 40), "PNG")
    broken_data = png[:60] + bytes(255 - byte for byte in png[60:70]) + png[70:]
    return {
        b"": "an empty file",
        b"\xff": "neither JPEG nor PNG",
        b"no image": "neither JPEG nor PNG",
        file_checks.JPEG: "truncated or damaged JPEG",
        file_checks.PNG: "truncated or damaged PNG",
        jpeg[:25]: "truncated or damaged JPEG",  # no header
        jpeg[: len(jpeg) // 2]: "truncated or damaged JPEG",
        jpeg[:-2]: "truncated or damaged JPEG",
        **{broken_files.encode(broken_files.image(rng, side, 2 * side), "JPEG")[:-2]: "truncated or damaged JPEG"
           for side in (30, 80, 160, 320)},  # decoded at 1/1, 1/2, 1/4 and 1/8 of their size
        png[: len(png) // 2]: "truncated or damaged PNG",
        png[:-4]: "truncated or damaged PNG",
        broken_data: "truncated or damaged PNG",
        broken_files.encode(broken_files.image(rng, 30, 40), "GIF"): "a GIF; only JPEG and PNG are read",
        broken_files.encode(broken_files.image(rng, 30, 40), "BMP"): "a BMP; only JPEG and PNG are read",
        broken_files.blank_png(0, 9): "an image without pixels",
        broken_files.blank_png(8000, 7000): "8000 x 7000 pixels (height x width); at most 50000000 are read",
        jpeg + b"\0" * file_checks.MAX_BYTES: f"{len(jpeg) + file_checks.MAX_BYTES} bytes; at most 20000000 are read",
        broken_files.with_scans(jpeg, 1000): "a JPEG of too many scans",
        broken_files.with_texts(png, 20): "a PNG of too many compressed texts",
        **unread_kinds(jpeg),
    }


def unread_kinds(jpeg):
    """JPEG files of unsupported kinds, also behind metadata with a thumbnail of a supported kind."""
    supported = "only baseline and progressive ones are read"
    thumbnail = fierce_jpegs.segment(b"Exif\0\0" + fierce_jpegs.tiff(fierce_jpegs.entry(1)) + jpeg)
    return {
        broken_files.with_frame(jpeg, 0xC1, 12): "a JPEG with 12 bits per channel; only 8 are read",
        broken_files.with_frame(jpeg, 0xC2, 12): "a JPEG with 12 bits per channel; only 8 are read",
        broken_files.with_frame(jpeg, 0xC3): f"a lossless JPEG; {supported}",
        broken_files.with_frame(jpeg, 0xC3, 16): f"a lossless JPEG; {supported}",
        broken_files.with_frame(jpeg, 0xCB): f"a lossless JPEG; {supported}",
        broken_files.with_frame(jpeg, 0xC5): f"a hierarchical JPEG; {supported}",
        broken_files.with_frame(jpeg, 0xC0, 9): "truncated or damaged JPEG",
        broken_files.with_frame(jpeg, 0xC1, 12)[:-400]: "a JPEG with 12 bits per channel; only 8 are read",
        fierce_jpegs.with_segments(broken_files.with_frame(jpeg, 0xC1, 12), thumbnail):
            "a JPEG with 12 bits per channel; only 8 are read",
        fierce_jpegs.with_segments(jpeg[:-2], thumbnail): "truncated or damaged JPEG",
    }


def test_good_files_equal_the_output_of_decode(each, alone, good):
    values, status = each(tf.constant(good))
    assert set(status.numpy()) == {b""}
    for value, file in zip(values.numpy(), good):
        np.testing.assert_array_equal(value, alone(file))


def test_broken_files_among_good_ones_affect_no_other_row(each, alone, good):
    cases = [*refused().items(), *((file, "") for file in good[:12])]
    cases = [cases[i] for i in np.random.default_rng(5).permutation(len(cases))]
    values, status = each(tf.constant([file for file, _ in cases]))
    assert [reason.decode() for reason in status.numpy()] == [reason for _, reason in cases]
    for value, (file, reason) in zip(values.numpy(), cases):
        np.testing.assert_array_equal(value, 0 if reason else alone(file))


def test_reasons_are_those_of_refusal_reason():
    for file, reason in refused().items():
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            decoding.decode(file)
        assert decoding.refusal_reason(caught.value) == reason


def test_broken_files_only(each):
    files = list(refused())
    values, status = each(tf.constant(files))
    assert not values.numpy().any() and all(status.numpy())
    assert values.shape == (len(files), SIDE, SIDE, 3)


def test_one_file_and_none(each, alone, good):
    for file, reason in ((good[1], b""), (good[2], b""), (b"x", b"neither JPEG nor PNG")):
        values, status = each(tf.constant([file]))
        assert (values.shape, status.numpy().tolist()) == ((1, SIDE, SIDE, 3), [reason])
        np.testing.assert_array_equal(values[0], 0 if reason else alone(file))
    values, status = each(tf.constant([], tf.string))
    assert (values.shape, status.shape, status.dtype) == ((0, SIDE, SIDE, 3), (0,), tf.string)


def test_black_images_are_not_broken(each):
    black = broken_files.encode(Image.new("RGB", (5, 4)), "PNG")
    _, status = each(tf.constant([black, b""]))
    assert status.numpy().tolist() == [b"", b"an empty file"]


def test_turned_images_are_upright(each):
    pixels = np.zeros([SIDE, SIDE, 3], np.uint8)
    pixels[: SIDE // 2, : SIDE // 2] = 255  # the upper left corner
    turned = {6: (0, 1), 3: (1, 1), 8: (1, 0), 1: (0, 0)}  # orientation: where that corner is, (below, right)
    files = []
    for orientation in turned:
        exif = Image.Exif()
        exif[0x0112] = orientation
        files.append(broken_files.encode(Image.fromarray(pixels), "JPEG", exif=exif.tobytes(), quality=95))
    values, _ = each(tf.constant(files))
    for value, (below, right) in zip(values.numpy(), turned.values()):
        quarter = value.reshape(2, SIDE // 2, 2, SIDE // 2, 3).mean((1, 3, 4))
        assert np.unravel_index(quarter.argmax(), (2, 2)) == (below, right)
        assert quarter[below, right] > 240 and quarter.sum() < 260


def test_limits_are_applied():
    small, large = broken_files.blank_png(30, 40), broken_files.blank_png(31, 40)
    long = broken_files.with_texts(small, 3)
    limits = {"max_pixels": 1200, "max_bytes": len(long) - 1}
    each = tf.function(lambda files: decoding.decode_each(files, view, [SIDE, SIDE, 3], target_side=SIDE, **limits))
    _, status = each(tf.constant([large, small, long]))
    assert [reason.decode() for reason in status.numpy()] == [
        "31 x 40 pixels (height x width); at most 1200 are read",
        "",
        f"{len(long)} bytes; at most {len(long) - 1} are read",
    ]


def test_a_saved_model_does_the_same_and_needs_no_python(each, good, tmp_path):
    module = tf.Module()
    module.each = each
    tf.saved_model.save(module, str(tmp_path))
    files = tf.constant([good[0], b"x", good[1], good[3][:-13], *good[4:8]])
    for one, other in zip(tf.saved_model.load(str(tmp_path)).each(files), each(files)):
        np.testing.assert_array_equal(one, other)
    graph = each.get_concrete_function().graph.as_graph_def()
    used = {node.op for nodes in [graph.node, *(f.node_def for f in graph.library.function)] for node in nodes}
    assert {"DecodeJpeg", "ExtractJpegShape"} <= used
    assert not {op for op in used if "Py" in op}


def test_only_single_operations_are_instantiated_in_each_call(each):
    """The runtime instantiates a dataset's function in each call: 100 times as long for decoding and resizing."""
    graph = each.get_concrete_function().graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    mapped = [
        node.attr["f"].func.name
        for nodes in [graph.node, *(f.node_def for f in graph.library.function)]
        for node in nodes
        if node.op in ("MapDataset", "ParallelMapDatasetV2")
    ]
    assert len(mapped) == 5  # the size in the header, and the pixels at four fractions of the size
    for name in mapped:
        assert len(functions[name].node_def) < 12
        assert not [node.op for node in functions[name].node_def if node.op in ("If", "While", "StatelessIf")]
