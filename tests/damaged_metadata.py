"""Images whose pixels are whole and whose EXIF, resolution, texts or animation are damaged."""
import struct
import zlib

import numpy as np
from PIL import Image

from tests import broken_files

PIXELS = np.zeros([60, 100, 3], np.uint8)
PIXELS[5:25, 10:40] = (230, 60, 30)
_IMAGE = Image.fromarray(PIXELS)


def app1(jpeg, payload):
    """Returns a JPEG with an APP1 segment behind its APP0."""
    end = 4 + struct.unpack(">H", jpeg[4:6])[0]
    return jpeg[:end] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[end:]


def tiff(*entries):
    """Returns an EXIF block of (tag, type, count, four bytes) entries."""
    packed = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + b"\0" * 4


def animated():
    """Returns an APNG of three images."""
    others = [Image.fromarray(PIXELS[::-1].copy()), Image.fromarray(PIXELS[:, ::-1].copy())]
    return broken_files.encode(_IMAGE, "PNG", save_all=True, append_images=others, duration=50, loop=0)


def kinds():
    """Returns name -> file of damages that are known to end in errors of different classes, or in none."""
    plain = broken_files.encode(_IMAGE, "JPEG", quality=95)
    with_dpi = broken_files.encode(_IMAGE, "JPEG", quality=95, dpi=(72, 72))
    control = animated().index(b"acTL")
    no_frames = animated()[: control + 4] + b"\0" * 8 + struct.pack(">I", zlib.crc32(b"acTL" + b"\0" * 8))
    return {
        "no_tiff.jpg": app1(with_dpi, b"Exif\0\0" + b"garbage!" * 4),
        "cut_off.jpg": app1(plain, tiff((0x112, 3, 1, b"\6\0\0\0"))[:20]),
        "dpi_is_text.jpg": app1(plain, tiff((0x11A, 2, 4, b"abc\0"), (0x128, 3, 1, b"\2\0\0\0"))),
        "dpi_of_nothing.jpg": app1(plain, tiff((0x11A, 5, 1, b"\xff\xff\0\0"))),
        "orientation_is_text.jpg": app1(plain, tiff((0x112, 2, 2, b"6\0\0\0"))),
        "no_frames.png": no_frames + animated()[control + 16 :],
        "short_control.png": broken_files.PNG + animated()[8:33] + broken_files.chunk(b"acTL", b"\0") + animated()[53:],
    }


def mutated(rng, count):
    """Yields images of several formats, each with some bytes of its metadata changed; a PNG's checksums are right."""
    exif = Image.Exif()
    exif.update({0x112: 6, 0x11A: 72.0, 0x128: 2, 0x10E: "bird"})
    exif[0x8769] = {0x9000: b"0230", 0x829A: (1, 100)}
    options = {"exif": exif.tobytes(), "dpi": (72, 72)}
    whole = [
        broken_files.encode(_IMAGE, "JPEG", comment=b"x", **options),
        broken_files.encode(_IMAGE, "PNG", **options),
        animated(),
    ]
    for number in range(count):
        data = bytearray(whole[number % len(whole)])
        end = min(len(data), 600)
        for _ in range(rng.integers(1, 6)):
            at, source = (int(place) for place in rng.integers(8, end - 4, 2))
            piece = [
                rng.bytes(1), bytes([rng.choice([0, 1, 2, 3, 5, 7, 10, 12, 127, 128, 255])]), rng.bytes(2),
                data[source : source + 4],
            ][rng.integers(0, 4)]  # fmt: skip
            data[at : at + len(piece)] = piece
        yield _with_checksums(bytes(data)) if number % len(whole) else bytes(data)


def _with_checksums(png):
    made, at = png[:8], 8
    while at + 8 <= len(png):
        size = struct.unpack(">I", png[at : at + 4])[0]
        if at + 12 + size > len(png):
            break
        made += broken_files.chunk(png[at + 4 : at + 8], png[at + 8 : at + 8 + size])
        at += 12 + size
    return made + png[at:]
