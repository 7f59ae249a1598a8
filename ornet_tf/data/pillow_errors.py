"""The errors that Pillow raises for damaged files: it documents none, and its readers fail in many places."""
from __future__ import annotations

import struct
import zlib

from PIL import Image

# Raised for headers, pixels and metadata (EXIF, dpi, text, animation) that can't be read. Most are OSError, which also
# stands for a missing file. The others come from Pillow's parsers, such as TypeError for a resolution whose denominator
# has a wrong type.
UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
