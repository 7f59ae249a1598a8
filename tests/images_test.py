"""Decoding against Pillow and hand-made files; the gate against what must not reach a decode op."""
import io
import random
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from tensorflow.core.protobuf import saved_model_pb2

from ornet_tf import images

SIZE = (34, 47)  # height, width: neither square nor a multiple of a JPEG block
decode_in_graph = tf.function(images.decode, input_signature=[tf.TensorSpec([], tf.string)])
orientation_in_graph = tf.function(images.orientation, input_signature=[tf.TensorSpec([], tf.string)])


@pytest.fixture(scope="module")
def colours():
    """A smooth picture with saturated colours, uint8 [H, W, 3]."""
    coarse = np.random.default_rng(5).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC))


def refusal_of(encoded, **limits):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        images.decode(encoded, **limits)
    return images.reason(caught.value)


def exif(orientation, order="<", kind=3, before=1, first=8):
    """EXIF data with one orientation entry after `before` others, in either byte order."""
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    entries = [struct.pack(order + "HHII", 0x0080 + i, 4, 1, 6) for i in range(before)]
    entries.append(struct.pack(order + "HHI", 0x0112, kind, 1) + value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", first)
    return head.ljust(first, b"\0") + struct.pack(order + "H", len(entries)) + b"".join(entries) + b"\0" * 4


def with_exif(jpeg, data, before=b""):
    """Puts an EXIF segment behind the start of a JPEG, `before` in front of it."""
    payload = b"Exif\0\0" + data
    return jpeg[:2] + before + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def orientation_in_python(data):
    """An independent reading of EXIF data."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    try:
        (first,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, first)
    except (struct.error, TypeError):
        return 1
    for entry in range(count):
        at = first + 2 + 12 * entry
        if at + 12 > len(data):
            break
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag == 0x0112 and kind in (3, 4):
            (value,) = struct.unpack_from(order + {3: "H", 4: "I"}[kind], data, at + 8)
            return value if 1 <= value <= 8 else 1
    return 1


def png(pixels, depth, colour_type):
    """A PNG file from the bytes of its rows, uint8 [H, bytes a row]; Pillow writes no 16-bit colour."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    height, width = pixels.shape[0], pixels.shape[1] * 8 // (depth * channels)
    rows = np.pad(pixels, [(0, 0), (1, 0)]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return images._PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
def test_jpeg_is_what_pillow_decodes(colours, encode, mode, options):
    encoded = encode(Image.fromarray(colours).convert(mode), "JPEG", **options)
    expected = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")).astype(int)
    decoded = images.decode(encoded).numpy()
    assert decoded.dtype == np.uint8
    assert np.abs(decoded - expected).max() <= 1  # the faster transform is off by 3 and more


def test_cmyk_keeps_its_colours(colours, encode):
    decoded = images.decode(encode(Image.fromarray(colours).convert("CMYK"), "JPEG", quality=98)).numpy()
    assert np.abs(decoded.astype(int) - colours).mean() < 2  # read without Adobe's inversion, it is off by 80


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_png_of_every_mode_is_exact(colours, encode, mode):
    picture = Image.fromarray(colours).convert(mode)
    if mode in ("LA", "RGBA"):  # what lies below a transparent pixel is kept
        picture.putalpha(Image.fromarray(np.arange(SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint8)))
    np.testing.assert_array_equal(images.decode(encode(picture)).numpy(), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("colour_type, channels", [(0, [0, 0, 0]), (2, [0, 1, 2]), (4, [0, 0, 0]), (6, [0, 1, 2])])
def test_16_bit_png_keeps_the_high_bytes(colour_type, channels):
    count = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    values = np.random.default_rng(3).integers(0, 2**16, (6, 5, count)).astype(">u2")
    decoded = images.decode(png(values.reshape(6, -1).view(np.uint8), 16, colour_type)).numpy()
    # libpng rounds where it removes the low byte, or cuts it off, by version
    assert np.abs(decoded.astype(int) - values[..., channels].astype(int) / 257).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(colours, encode, orientation, order):
    encoded = with_exif(encode(colours, "JPEG"), exif(orientation, order))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    decoded = decode_in_graph(encoded).numpy()
    assert decoded.shape == expected.shape == ((*SIZE, 3) if orientation < 5 else (*SIZE[::-1], 3))
    assert np.abs(decoded.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(images.decode(encoded).numpy(), decoded)


@pytest.mark.parametrize(
    "data, expected",
    [
        (exif(6, kind=4), 6),  # a long instead of a short
        (exif(6, ">", kind=4), 6),
        (exif(8, before=0), 8),
        (exif(8, before=30, first=100), 8),
        (exif(6, kind=2), 1),  # text
        (exif(0), 1),
        (exif(9), 1),
        (exif(65535), 1),
        (exif(65536 + 6, kind=4), 1),
        (b"", 1),
        (b"II*\0", 1),
        (b"XX" + exif(6)[2:], 1),
        (b"II+\0" + exif(6)[4:], 1),
        (exif(6)[:4] + b"\xff\xff\xff\xff" + exif(6)[8:], 1),  # the directory lies far outside
        (exif(6)[:8] + b"\xff\xff" + exif(6)[10:], 6),  # more entries stated than there are
        (exif(6)[:8] + b"\0\0" + exif(6)[10:], 1),
    ],
    ids=range(16),
)
def test_malformed_exif_means_upright(colours, encode, data, expected):
    encoded = with_exif(encode(colours, "JPEG"), data)
    assert int(orientation_in_graph(encoded)) == orientation_in_python(data) == expected
    assert decode_in_graph(encoded).shape == ((*SIZE, 3) if expected < 5 else (*SIZE[::-1], 3))


def test_exif_cut_or_damaged_anywhere_never_fails(colours, encode):
    jpeg, drawn = encode(colours, "JPEG"), random.Random(8)
    cut = [exif(6, order)[:length] for order in "<>" for length in range(40)]
    damaged = [bytearray(exif(drawn.randint(1, 8), drawn.choice("<>"), before=2)) for _ in range(300)]
    for data in damaged:
        for _ in range(drawn.randint(1, 3)):
            data[drawn.randrange(len(data))] = drawn.choice([0, 1, 3, 4, 6, 8, 0x12, 255, drawn.randrange(256)])
    expected = [orientation_in_python(bytes(data)) for data in cut + damaged]
    assert {1, 6} < set(expected)
    for data, value in zip(cut + damaged, expected):
        assert int(orientation_in_graph(with_exif(jpeg, bytes(data)))) == value


def test_files_cut_or_random_behind_their_first_bytes_never_fail(colours, encode):
    jpeg = with_exif(encode(colours, "JPEG"), exif(6))
    drawn = random.Random(1)
    for length in range(80):
        assert int(orientation_in_graph(jpeg[:length])) in (1, 6)
        noise = b"".join(b"\xff" + drawn.randbytes(drawn.randint(1, 6)) for _ in range(9))
        assert int(orientation_in_graph(jpeg[:2] + noise)) in range(1, 9)


@pytest.mark.parametrize(
    "before, expected",
    [
        (b"\xff\xe0\0\x10JFIF\0" + b"\1" * 9, 6),
        (b"\xff\xe1\0\x22http://ns.adobe.com/xap/1.0/\0abc", 6),  # XMP is an APP1 segment, too
        (b"\xff\xfe\1\0" + b"c" * 254 + (b"\xff\xe2\x10\0" + b"p" * 4094) * 60, 6),  # a comment, a long colour profile
        (b"\xff\xff\xff", 6),  # fill bytes
        (b"\xff\x01", 6),  # a marker without a length
        (b"\xff\xfe\0\2" * 300, 1),  # more segments than are walked
        (b"\xff\xe0\0\1", 1),  # a length that does not even count itself
        (b"\xff\xda\0\2", 1),  # picture data follows
        (b"zz", 1),
    ],
    ids=range(9),
)
def test_exif_is_found_behind_other_segments(before, expected):
    assert int(orientation_in_graph(with_exif(b"\xff\xd8" + b"\0" * 16, exif(6), before))) == expected


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
        (images._PNG, "truncated or damaged PNG"),
        (images._PNG + b"\0" * 60, "truncated or damaged PNG"),
        (png(np.zeros((2, 6), np.uint8), 8, 2).replace(b"IHDR\0\0\0\2", b"IHDR\0\0\0\0"), "a picture without pixels"),
    ],
    ids=range(11),
)
def test_files_that_are_no_picture_are_refused(encoded, words):
    assert refusal_of(encoded) == words
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode_in_graph(encoded)
    assert images.reason(caught.value) == words


@pytest.mark.parametrize("options", [{"kind": "JPEG"}, {"kind": "JPEG", "progressive": True}, {"kind": "PNG"}])
def test_truncated_files_are_errors_not_grey_pictures(colours, encode, options):
    encoded = encode(colours, **options)
    images.decode(encoded)
    for length in [*range(4, len(encoded), 97), *range(len(encoded) - 12, len(encoded))]:
        assert refusal_of(encoded[:length]) == f"truncated or damaged {options['kind']}"


def test_large_files_and_pictures_are_refused_before_decoding(colours, encode):
    height, width = SIZE
    for encoded in (encode(colours, "JPEG"), encode(colours, "PNG")):
        limit = f"{height} x {width} pixels (height x width); at most {height * width - 1} are read"
        assert refusal_of(encoded, max_pixels=height * width - 1) == limit
        assert refusal_of(encoded, max_bytes=len(encoded) - 1).startswith(f"{len(encoded)} bytes; at most")
        assert images.decode(encoded, max_pixels=height * width, max_bytes=len(encoded)).shape == (*SIZE, 3)
    forged = struct.pack(">II", 2**31, 2**32 - 1)  # their product does not fit 63 bits
    small = encode(colours, "PNG")
    assert refusal_of(small[:16] + forged + small[24:]).startswith(f"{2**32 - 1} x {2**31} pixels")


def operations(graph):
    return {node.op for nodes in [graph.node, *(f.node_def for f in graph.library.function)] for node in nodes}


def test_no_decode_op_can_start_before_the_gate():
    graph = decode_in_graph.get_concrete_function().graph.as_graph_def()
    branches = {f.signature.name: {node.op for node in f.node_def} for f in graph.library.function}
    nodes = {node.name: node for node in graph.node}
    assert not {"DecodePng", "DecodeJpeg"} & {node.op for node in graph.node}
    (choice,) = [node for node in graph.node if "DecodePng" in branches.get(node.attr["then_branch"].func.name, ())]
    above, waits_for = [choice.name], set()
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
            return tf.map_fn(images.decode, encoded, fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8))

    tf.saved_model.save(Decoder(), str(tmp_path))
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    used = operations(saved.meta_graphs[0].graph_def)
    assert {"DecodeJpeg", "DecodePng", "ExtractJpegShape"} <= used
    assert not [name for name in used if "Py" in name or name in ("DecodeImage", "DecodeGif", "DecodeBmp")]
    files = [with_exif(encode(colours, "JPEG"), exif(3)), encode(colours, "PNG")]
    for file, picture in zip(files, tf.saved_model.load(str(tmp_path))(tf.constant(files)).numpy()):
        np.testing.assert_array_equal(picture, images.decode(file).numpy())


def test_reading_errors_have_short_reasons(tmp_path):
    with pytest.raises(tf.errors.OpError) as missing:
        tf.io.read_file(str(tmp_path / "missing.jpg"))
    with pytest.raises(tf.errors.OpError) as folder:
        tf.io.read_file(str(tmp_path))
    assert images.reason(missing.value) == "file not found"
    assert images.reason(folder.value) == "a folder, not a file"
    assert images.reason(FileNotFoundError(2, "No such file", "x")) == "file not found"
    assert images.reason(RuntimeError("first line\nsecond line")) == "first line"
    assert images.reason(RuntimeError()) == "RuntimeError"
