"""Image files of many kinds, and ways to break them, for tests of untrusted input."""
import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_JPEG_MODES, _PNG_MODES = ("RGB", "L", "CMYK"), ("RGB", "L", "LA", "P", "RGBA", "1", "I;16")


def image(rng, height, width, mode="RGB"):
    """Returns a Pillow image of smooth colours and some noise."""
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize((width, height), Image.BICUBIC)
    noisy = np.clip(np.asarray(coarse) + rng.integers(-9, 10, (height, width, 3)), 0, 255).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(noisy[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(noisy).convert(mode)


def encode(image, kind, **options):
    """Returns the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def good_files(rng, data=""):
    """Returns readable JPEG and PNG files: 48 generated ones, and up to 40 of those below the folder `data`."""
    files = []
    for index in range(24):
        size = rng.integers(1, 90, 2)
        exif = Image.Exif()
        if index % 3:
            exif[0x0112] = 1 + index % 8
            exif[0x010E] = "Anna's bird"
        options = {"quality": int(rng.integers(20, 100)), "progressive": bool(index % 2), "exif": exif.tobytes()}
        files.append(encode(image(rng, *size, _JPEG_MODES[index % 3]), "JPEG", **options))
        files.append(encode(image(rng, *size, _PNG_MODES[index % 7]), "PNG", compress_level=index % 10))
    paths = sorted(p for p in pathlib.Path(data).rglob("*") if p.suffix.lower() in (".jpg", ".png")) if data else []
    chosen = rng.permutation(len(paths))[:40]
    return files + [paths[i].read_bytes() for i in sorted(chosen)]


def chunk(name, data):
    """Returns a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def blank_png(height, width):
    """Returns a PNG with one bit per pixel, which is about a thousand times smaller than its pixels."""
    rows = zlib.compressobj()
    row = b"\0" * (1 + (width + 7) // 8)
    packed = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def with_texts(file, count, name=b"zTXt", size=100_000):
    """Returns a PNG with compressed texts, each of `size` bytes when it is decompressed."""
    flags = b"\0\0" if name == b"zTXt" else b"\0\1\0\0\0"
    texts = [chunk(name, b"text%d" % i + flags + zlib.compress(b"a" * size)) for i in range(count)]
    return file[:33] + b"".join(texts) + file[33:]


def with_scans(file, count):
    """Returns a progressive JPEG with its last scan repeated `count` times."""
    end = file.rindex(b"\xff\xd9")
    return file[:end] + file[file.rindex(b"\xff\xda", 0, end) : end] * count + file[end:]


def with_frame(file, marker, depth=8):
    """Returns a baseline or progressive JPEG with another frame marker and bit depth in its header."""
    at = max(file.find(b"\xff\xc0\0"), file.find(b"\xff\xc2\0"))
    return file[: at + 1] + bytes([marker]) + file[at + 2 : at + 4] + bytes([depth]) + file[at + 5 :]


def _resized_header(rng, file):
    """Returns the file with a random size in its header, up to the largest that the header can hold."""
    top = int(rng.integers(4, 33))
    if file.startswith(PNG):
        height, width = (int(v) for v in rng.integers(0, 2**top, 2))
        return PNG + chunk(b"IHDR", struct.pack(">II", width, height) + file[24:29]) + file[33:]
    sizes = struct.pack(">HH", *(int(v) for v in rng.integers(0, 2 ** min(top, 16), 2)))
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = file.find(marker)
        if at > 0:
            return file[: at + 5] + sizes + file[at + 9 :]
    return file


def _end_offset(file):
    """Returns the offset of the marker that ends the image."""
    return len(file) - 12 if file.startswith(PNG) else file.rindex(b"\xff\xd9")


def _truncated(rng, file, _):
    return file[: rng.integers(1, _end_offset(file))]


def _bits_flipped(rng, file, _):
    data = bytearray(file)
    for at in rng.integers(0, len(data), rng.integers(1, 12)):
        data[at] ^= 1 << int(rng.integers(0, 8))
    return bytes(data)


def _bytes_replaced(rng, file, _):
    at, count = int(rng.integers(0, len(file))), int(rng.integers(1, 40))
    return file[:at] + rng.bytes(count) + file[at + count :]


def _bytes_removed(rng, file, _):
    at = int(rng.integers(0, len(file)))
    return file[:at] + file[at + int(rng.integers(1, 60)) :]


def _bytes_inserted(rng, file, _):
    at = int(rng.integers(0, len(file)))
    return file[:at] + rng.bytes(int(rng.integers(1, 60))) + file[at:]


def _parts_swapped(rng, file, _):
    a, b, c = sorted(int(v) for v in rng.integers(0, len(file), 3))
    return file[:a] + file[b:c] + file[a:b] + file[c:]


def _headers_flipped(rng, file, _):
    data = bytearray(file)
    for at in rng.integers(2, min(len(data), 700), rng.integers(1, 5)):
        data[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
    return bytes(data)


def _other_half(rng, file, other):
    return file[: rng.integers(8, len(file))] + other[rng.integers(0, len(other)) :]


def _wrong_magic(rng, file, _):
    first = rng.choice([b"GIF89a", b"RIFF\0\0\0\0WEBP", b"BM", b"\xff\x0a", b"\0\0\0\x0cJXL ", b"<svg xmlns="])
    return bytes(first) + file[len(first) :]


def _other_format(rng, _file, _other):
    kind = str(rng.choice(["GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO"]))
    return encode(image(rng, *rng.integers(16, 60, 2)), kind)


def _no_image(rng, _file, _other):
    return bytes(rng.choice([b"", b"\xff", JPEG, PNG, b"x" * 5000, b"\xff\xd8\xff\xd9", PNG + b"\0" * 60]))


def _too_many_pixels(rng, _file, _other):
    return blank_png(*(int(v) for v in rng.integers(7100, 9000, 2)))


def _too_many_scans(rng, _file, _other):
    return with_scans(encode(image(rng, *rng.integers(8, 200, 2)), "JPEG", progressive=True), 1100)


def _too_many_texts(rng, _file, _other):
    return with_texts(blank_png(9, 9), 40, bytes(rng.choice([b"zTXt", b"iTXt"])))


def _just_small_enough(rng, _file, _other):
    return blank_png(int(rng.integers(3000, 5000)), int(rng.integers(3000, 5000)))


# Name -> (function, relative frequency, whether the file must be refused). A randomly broken file may still be valid.
KINDS = {
    "truncated": (_truncated, 15, True),
    "bits flipped": (_bits_flipped, 20, False),
    "bytes replaced": (_bytes_replaced, 10, False),
    "bytes removed": (_bytes_removed, 10, False),
    "bytes inserted": (_bytes_inserted, 10, False),
    "parts swapped": (_parts_swapped, 8, False),
    "header bytes changed": (_headers_flipped, 15, False),
    "size in the header changed": (lambda rng, file, _: _resized_header(rng, file), 10, False),
    "continued by another file": (_other_half, 5, False),
    "wrong magic": (_wrong_magic, 4, True),
    "other format": (_other_format, 4, True),
    "no image": (_no_image, 4, True),
    "too many pixels": (_too_many_pixels, 0.3, True),
    "too many scans": (_too_many_scans, 0.5, True),
    "too many compressed texts": (_too_many_texts, 0.5, True),
    "nearly too many pixels": (_just_small_enough, 0.2, False),
}


def broken(rng, file, other):
    """Breaks a file in a random way; returns the kind, the bytes, and whether the file must be refused.

    One kind continues `file` with a piece of the file `other`.
    """
    frequencies = np.array([frequency for _, frequency, _ in KINDS.values()])
    kind = str(rng.choice(list(KINDS), p=frequencies / frequencies.sum()))
    break_file, _, must_fail = KINDS[kind]
    return kind, break_file(rng, file, other), must_fail
