"""JPEG files with odd, repeated, misplaced or damaged orientations, about which readers of EXIF disagree."""
from __future__ import annotations

import struct

import numpy as np

from tests.broken_files import chunk

JFIF = b"JFIF\0\1\1\1\0\x48\0\x48\0\0"  # 72 pixels per inch
XMP = (
    b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def segment(payload, marker=0xE1):
    """Returns a segment, APP1 by default."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def entry(value, order="<", *, kind=3, count=1, tag=0x0112):
    """Returns an entry of a TIFF directory, of the orientation by default."""
    packed = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
    return struct.pack(order + "HHI", tag, kind, count) + packed


def tiff(*entries, order="<", first=8, stated=None):
    """Returns EXIF data with one directory."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", first)
    number = struct.pack(order + "H", len(entries) if stated is None else stated)
    return head.ljust(first, b"\0") + number + b"".join(entries) + b"\0" * 4


def exif(*entries, **options):
    """Returns an EXIF segment with one directory."""
    return segment(b"Exif\0\0" + tiff(*entries, **options))


def with_segments(jpeg, *segments):
    """Puts segments behind the start of a JPEG."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def written_by_hand(jpeg, png):
    """Returns {description: (file, orientation)}."""
    broken = [
        entry(7, tag=0x010F, kind=2, count=2**32 - 1), entry(2**31, tag=0x011A, kind=5), entry(9, tag=0x0110, kind=0),
        entry(0, tag=0x9000, kind=999, count=9),
    ]  # fmt: skip
    six, three = exif(entry(6)), exif(entry(3))
    segments = {
        **{f"{v} {o} {k}": (v, exif(entry(v, o, kind=k), order=o)) for v in range(1, 9) for o in "<>" for k in (3, 4)},
        "none": (1,),
        "XMP alone": (1, segment(XMP)),
        "XMP before EXIF": (3, segment(XMP), three),
        "XMP behind EXIF": (3, three, segment(XMP)),
        "twice": (6, six, three),
        "twice, other order": (3, three, six),
        "upright, then turned": (1, exif(entry(1)), six),
        "without entries, then turned": (1, exif(), six),
        "broken, then turned": (1, segment(b"Exif\0\0" + b"garbage!" * 4), six),
        "without data, then turned": (1, segment(b"Exif\0\0"), six),
        "entry twice": (6, exif(entry(6), entry(3))),
        "entry twice, the first no number": (3, exif(entry(6, kind=2), entry(3))),
        "entry twice, the first out of range": (1, exif(entry(9), entry(3))),
        "behind broken entries": (6, exif(*broken, entry(6))),
        "before broken entries": (6, exif(entry(6), *broken)),
        "between broken entries": (8, exif(*broken[:2], entry(8), *broken[2:])),
        "broken entries, big-endian": (6, exif(entry(9, ">", tag=0x110, kind=0), entry(6, ">"), order=">")),
        **{f"count {count}": (6, exif(entry(6, count=count))) for count in (0, 2, 3, 2**32 - 1)},
        **{f"kind {kind}": (1, exif(entry(6, kind=kind))) for kind in (0, 1, 2, 5, 7, 8, 9, 13, 65535)},
        **{f"value {value}": (1, exif(entry(value))) for value in (0, 9, 255, 65535)},
        "value 65542 of kind 4": (1, exif(entry(65536 + 6, kind=4))),
        "more entries stated": (6, exif(entry(6), stated=65535)),
        "fewer entries stated": (1, exif(entry(6), stated=0)),
        "directory at an odd place": (6, exif(entry(6), first=13)),
        "directory outside": (1, segment(b"Exif\0\0II*\0\xff\xff\xff\xff" + tiff(entry(6))[8:])),
        "mixed byte orders": (1, segment(b"Exif\0\0MM*\0" + tiff(entry(6))[4:])),
        "BigTIFF": (1, segment(b"Exif\0\0II+\0" + tiff(entry(6))[4:])),
        "other name": (1, segment(b"exif\0\0" + tiff(entry(6)))),
        "name ends otherwise": (1, segment(b"Exif\0\1" + tiff(entry(6)))),
        "in APP2": (1, segment(b"Exif\0\0" + tiff(entry(6)), 0xE2)),
        "behind fill bytes": (6, b"\xff\xff\xff", six),
        "behind a marker alone": (6, b"\xff\x01", six),
        "behind comments and a profile": (6, segment(b"c" * 60000, 0xFE), *[segment(b"p" * 4000, 0xE2)] * 60, six),
        "behind 255 segments": (6, *[b"\xff\xfe\0\2"] * 255, six),
        "behind 256 segments": (1, *[b"\xff\xfe\0\2"] * 256, six),
        "resolution beside garbage": (1, segment(JFIF, 0xE0), segment(b"Exif\0\0" + b"?" * 9)),
        "resolution that is no number": (6, exif(entry(6), entry(2**20, tag=0x011A, kind=5), entry(2, tag=0x0128))),
        **{f"{n} bytes": (6 if n >= 22 else 1, segment(b"Exif\0\0" + tiff(entry(6))[:n])) for n in range(26)},
    }
    files = {name: (with_segments(jpeg, *parts), value) for name, (value, *parts) in segments.items()}
    files["in a PNG"] = png[:33] + chunk(b"eXIf", tiff(entry(6))) + png[33:], 1
    files["in a PNG, as a JPEG has it"] = png[:33] + chunk(b"teXt", exif(entry(6))) + png[33:], 1
    return files


def damaged(rng, jpeg, count):
    """Yields random files: segments in any order and number; bytes replaced, removed or repeated; truncated ends."""
    useful = np.frombuffer(b"\0\1\2\3\4\6\10\12\xff\xe0\xe1\xe2\xd8\xd9\xda\xfe\x01EIMxif*", np.uint8)
    for _ in range(count):
        parts = []
        for _ in range(rng.integers(1, 5)):
            order, values = rng.choice(["<", ">"]), rng.integers(0, 10, rng.integers(1, 4))
            entries = [
                entry(int(v), order, kind=int(rng.choice([0, 2, 3, 3, 3, 4])), count=int(rng.integers(0, 3)),
                      tag=int(rng.choice([0x0112, 0x0112, 0x0110]))) for v in values
            ]  # fmt: skip
            made = exif(*entries, order=order, first=int(rng.integers(8, 12)))
            others = [segment(XMP), b"\xff" * int(rng.integers(1, 4)), b"\xff\xfe\0\2"]
            parts.append([made, made, *others][rng.integers(5)])
        head = bytearray(jpeg[:2] + b"".join(parts))
        for _ in range(rng.integers(0, 5)):
            at = int(rng.integers(2, len(head)))
            kind = rng.integers(0, 4)
            if kind == 0:
                del head[at : at + int(rng.integers(1, 4))]
            elif kind == 1:
                head[at:at] = head[at : at + int(rng.integers(1, 20))]
            else:
                head[at] = int(rng.choice(useful))
            if len(head) < 4:
                break
        whole = bytes(head) + jpeg[2:]
        yield whole[: rng.integers(2, len(head) + 1)] if rng.random() < 0.2 else whole
