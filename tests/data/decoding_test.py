"""Decoding against Pillow and hand-made files; files that must not be decoded are refused."""
import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from ornet_tf.data import decoding, file_checks, transforms
from tests import broken_files

SIZE = (34, 47)  # height, width: neither square nor a multiple of a JPEG block
decode_in_graph = tf.function(decoding.decode, input_signature=[tf.TensorSpec([], tf.string)])


@pytest.fixture(scope="module")
def colours():
    """A smooth image with saturated colours, uint8 [H, W, 3]."""
    coarse = np.random.default_rng(5).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC))


def refusal_of(encoded, **limits):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decoding.decode(encoded, **limits)
    return decoding.refusal_reason(caught.value)


def png(pixels, depth, colour_type):
    """A PNG file from the bytes of its rows, uint8 [H, bytes per row]; Pillow writes no 16-bit colour."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    height, width = pixels.shape[0], pixels.shape[1] * 8 // (depth * channels)
    rows = np.pad(pixels, [(0, 0), (1, 0)]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return file_checks.PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
def test_jpeg_is_decoded_as_by_pillow(colours, encode, mode, options):
    encoded = encode(Image.fromarray(colours).convert(mode), "JPEG", **options)
    expected = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")).astype(int)
    decoded = decoding.decode(encoded).numpy()
    assert decoded.dtype == np.uint8
    assert np.abs(decoded - expected).max() <= 1  # the faster transform is off by 3 and more


def test_cmyk_keeps_its_colours(colours, encode):
    decoded = decoding.decode(encode(Image.fromarray(colours).convert("CMYK"), "JPEG", quality=98)).numpy()
    assert np.abs(decoded.astype(int) - colours).mean() < 2  # without Adobe's inversion, it is off by 80


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_png_of_every_mode_is_exact(colours, encode, mode):
    image = Image.fromarray(colours).convert(mode)
    if mode in ("LA", "RGBA"):  # the colour of a transparent pixel is kept
        image.putalpha(Image.fromarray(np.arange(SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint8)))
    np.testing.assert_array_equal(decoding.decode(encode(image)).numpy(), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("colour_type, channels", [(0, [0, 0, 0]), (2, [0, 1, 2]), (4, [0, 0, 0]), (6, [0, 1, 2])])
def test_16_bit_png_keeps_the_high_bytes(colour_type, channels):
    count = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    values = np.random.default_rng(3).integers(0, 2**16, (6, 5, count)).astype(">u2")
    decoded = decoding.decode(png(values.reshape(6, -1).view(np.uint8), 16, colour_type)).numpy()
    # Some versions of libpng round, some drop the low byte.
    assert np.abs(decoded.astype(int) - values[..., channels].astype(int) / 257).max() <= 1


@pytest.mark.parametrize(
    "kind, words", [("GIF", "a GIF"), ("WEBP", "a WebP"), ("BMP", "a BMP"), ("TIFF", "a TIFF"), ("AVIF", "an AVIF")]
)
def test_other_formats_are_refused_by_name(colours, encode, kind, words):
    if kind not in Image.registered_extensions().values():
        pytest.skip(f"this Pillow cannot write {kind}")
    assert refusal_of(encode(colours, kind)) == f"{words}; only JPEG and PNG are read"


@pytest.mark.parametrize(
    "encoded, words",
    [
        (b"", "an empty file"),
        (b"\xff", "neither JPEG nor PNG"),
        (b"<html>not found</html>", "neither JPEG nor PNG"),
        (b"\xff\x0a" + b"\0" * 40, "a JPEG XL; only JPEG and PNG are read"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 40, "a JPEG XL; only JPEG and PNG are read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC; only JPEG and PNG are read"),
        (b"MM\0*" + b"\0" * 40, "a TIFF; only JPEG and PNG are read"),
        (b"\xff\xd8\xff", "truncated or damaged JPEG"),
        (file_checks.PNG, "truncated or damaged PNG"),
        (file_checks.PNG + b"\0" * 60, "truncated or damaged PNG"),
        (png(np.zeros((2, 6), np.uint8), 8, 2).replace(b"IHDR\0\0\0\2", b"IHDR\0\0\0\0"), "an image without pixels"),
    ],
    ids=range(11),
)
def test_files_that_are_no_image_are_refused(encoded, words):
    assert refusal_of(encoded) == words
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode_in_graph(encoded)
    assert decoding.refusal_reason(caught.value) == words


@pytest.mark.parametrize("options", [{"kind": "JPEG"}, {"kind": "JPEG", "progressive": True}, {"kind": "PNG"}])
def test_truncated_files_are_errors_not_grey_images(colours, encode, options):
    encoded = encode(colours, **options)
    decoding.decode(encoded)
    for length in [*range(8, len(encoded), 97), *range(len(encoded) - 12, len(encoded))]:
        assert refusal_of(encoded[:length]) == f"truncated or damaged {options['kind']}"


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_truncated_files_are_errors_at_a_fraction_of_the_size_as_well(colours, encode, options, ratio):
    encoded, target_side = encode(np.tile(colours, [4, 4, 1]), "JPEG", **options), 64 // ratio
    assert decoding.decode_scaled(encoded, target_side=target_side)[0].shape[0] == 136 / ratio
    for length in [*range(8, len(encoded), 197), *range(len(encoded) - 12, len(encoded))]:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            decoding.decode_scaled(encoded[:length], target_side=target_side)
        assert decoding.refusal_reason(caught.value) == "truncated or damaged JPEG"


@pytest.mark.parametrize(
    "size, expected, frame",
    [
        ((35, 80), (35, 80), (35, 80)),  # half of it would be less than twice as large as the target
        ((36, 80), (18, 40), (18, 40)),
        ((80, 37), (40, 19), (40, 18.5)),
        ((71, 145), (36, 73), (35.5, 72.5)),
        ((75, 147), (19, 37), (18.75, 36.75)),
        ((145, 800), (19, 100), (18.125, 100)),
        ((800, 1600), (100, 200), (100, 200)),  # there is no sixteenth
    ],
)
def test_a_jpeg_is_decoded_at_the_smallest_fraction_that_is_large_enough(encode, size, expected, frame):
    pixels = np.zeros((*size, 3), np.uint8)
    for encoded, shape, extent in ((encode(pixels, "JPEG"), expected, frame), (encode(pixels, "PNG"), size, size)):
        image, found = decoding.decode_scaled(encoded, target_side=9)
        assert (image.shape, found.numpy().tolist()) == ((*shape, 3), [0, 0, *extent])
        assert decoding.read_size(tf.constant(encoded)).numpy().tolist() == list(size)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_fraction_of_a_jpeg_has_the_pixels_of_the_whole(encode, mode, options):
    coarse = Image.fromarray(np.random.default_rng(6).integers(0, 256, (6, 8, 3), np.uint8))
    encoded = encode(coarse.resize((320, 240), Image.Resampling.BICUBIC).convert(mode), "JPEG", **options)
    whole = decoding.decode(encoded).numpy()
    np.testing.assert_array_equal(decoding.decode_scaled(encoded, target_side=61)[0], whole)
    for ratio, target_side in ((2, 60), (4, 30), (8, 15)):
        means = whole.reshape(240 // ratio, ratio, 320 // ratio, ratio, 3).mean((1, 3))
        fraction = decoding.decode_scaled(encoded, target_side=target_side)[0].numpy()
        assert np.abs(fraction - means).mean() < 1 and np.abs(fraction - means).max() < 9


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_fraction_of_a_jpeg_is_resized_as_the_whole(encode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    coarse = Image.fromarray(np.random.default_rng(6).integers(0, 256, (6, 8, 3), np.uint8))
    encoded = encode(coarse.resize((201, 169), Image.Resampling.BICUBIC), "JPEG", exif=exif.tobytes(), quality=95)
    expected = transforms.resize_image(decoding.decode(encoded), 10).numpy().astype(int)
    image, frame = decoding.decode_scaled(encoded, target_side=10)
    assert set(image.shape) == {22, 26, 3}
    assert np.abs(transforms.resize_image(image, 10, frame).numpy() - expected).max() <= 4
    # Without the frame, the rows and columns that lie partly beyond the image shift it.
    assert np.abs(transforms.resize_image(image, 10).numpy() - expected).max() > 8


def test_large_files_and_images_are_refused_before_decoding(colours, encode):
    height, width = SIZE
    for encoded in (encode(colours, "JPEG"), encode(colours, "PNG")):
        limit = f"{height} x {width} pixels (height x width); at most {height * width - 1} are read"
        assert refusal_of(encoded, max_pixels=height * width - 1) == limit
        assert refusal_of(encoded, max_bytes=len(encoded) - 1).startswith(f"{len(encoded)} bytes; at most")
        assert decoding.decode(encoded, max_pixels=height * width, max_bytes=len(encoded)).shape == (*SIZE, 3)
    forged = struct.pack(">II", 2**31, 2**32 - 1)  # their product does not fit 63 bits
    small = encode(colours, "PNG")
    assert refusal_of(small[:16] + forged + small[24:]).startswith(f"{2**32 - 1} x {2**31} pixels")


def operations(graph):
    return {node.op for nodes in [graph.node, *(f.node_def for f in graph.library.function)] for node in nodes}


@pytest.mark.parametrize("target_side, decoding_op", [(None, "DecodeJpeg"), (9, "Case")])
def test_no_decode_op_can_start_before_the_checks(target_side, decoding_op):
    decode = decoding._decoder(target_side)
    graph = decode.get_concrete_function().graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    above, waits_for = [node.name for node in graph.node if node.op.endswith(decoding_op)], set()
    assert len(above) == 1
    # A function that a node calls gets the bytes from the inputs of the node.
    in_branches = {branch.name for branch in nodes[above[0]].attr["branches"].list.func}
    for function in graph.library.function:
        decoders = {node.op for node in function.node_def if node.op.startswith("Decode")} - {"DecodeRaw"}
        assert decoders == ({"DecodeJpeg"} if function.signature.name in in_branches else set())
    while above:
        name = above.pop()
        if name not in waits_for:
            waits_for.add(name)
            above += [source.lstrip("^").split(":")[0] for source in nodes[name].input]
    assert "Assert" in {nodes[name].op for name in waits_for}


def test_exported_decoder_uses_only_core_operations(colours, encode, tmp_path):
    class Decoder(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, encoded):
            return tf.map_fn(decoding.decode, encoded, fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8))

    upside_down = Image.Exif()
    upside_down[0x0112] = 3
    tf.saved_model.save(Decoder(), str(tmp_path))
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    used = operations(saved.meta_graphs[0].graph_def)
    assert {"DecodeJpeg", "ExtractJpegShape"} <= used
    assert not [name for name in used if "Py" in name or name in ("DecodeImage", "DecodeGif", "DecodeBmp")]
    files = [encode(colours, "JPEG", exif=upside_down.tobytes()), encode(colours, "PNG")]
    for file, image in zip(files, tf.saved_model.load(str(tmp_path))(tf.constant(files)).numpy()):
        np.testing.assert_array_equal(image, decoding.decode(file).numpy())


def test_reading_errors_have_short_reasons(tmp_path):
    with pytest.raises(tf.errors.OpError) as missing:
        tf.io.read_file(str(tmp_path / "missing.jpg"))
    with pytest.raises(tf.errors.OpError) as folder:
        tf.io.read_file(str(tmp_path))
    assert decoding.refusal_reason(missing.value) == "file not found"
    assert decoding.refusal_reason(folder.value) == "a folder, not a file"
    assert decoding.refusal_reason(FileNotFoundError(2, "No such file", "x")) == "file not found"
    assert decoding.refusal_reason(RuntimeError("first line\nsecond line")) == "first line"
    assert decoding.refusal_reason(RuntimeError()) == "RuntimeError"


def test_the_size_of_the_header_is_that_of_the_decoded_image():
    files = broken_files.good_files(np.random.default_rng(11))
    sizes = [decoding.read_size(tf.constant(file)).numpy().tolist() for file in files]
    assert sizes == [list(decode_in_graph(file).shape[:2]) for file in files]
    assert len({tuple(size) for size in sizes}) > 20
    for file in (b"", b"GIF89a" + bytes(40), broken_files.blank_png(9000, 9000), files[0][:4]):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            decoding.read_size(tf.constant(file))
        assert decoding.refusal_reason(caught.value) == refusal_of(file)
