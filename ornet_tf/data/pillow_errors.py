"""What Pillow raises for files of strangers: its readers meet damage in many places and promise no class of errors."""
from __future__ import annotations

import struct
import zlib

from PIL import Image

# For headers, pixels and metadata (EXIF, dpi, text, animation) that can't be read. OSError stands for most of it, and
# for a file that is not there; the others are what its parsers run into. TypeError, for one, where a resolution has a
# denominator of another type.
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
