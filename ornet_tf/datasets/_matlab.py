"""Reads MATLAB files with SciPy: the lists and tables of data sets."""
from __future__ import annotations

import pathlib
import zlib

import numpy as np

from ornet_tf.errors import UserError

# SciPy documents no error for a damaged file. These are what truncated and overwritten files raise.
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, NameError, OSError, MemoryError, zlib.error)


def read(path: pathlib.Path, variable: str) -> np.ndarray | None:
    """Returns one variable of a file that MATLAB saved as `-v7` or older.

    Args:
      path: the file.
      variable: its name in MATLAB.

    Returns:
      At least one axis; axes of length 1 are removed. A cell array of texts becomes an object array of str, a struct
      array a structured array of its fields. None if the file has no such variable.

    Raises:
      FileNotFoundError: if the file is missing.
      UserError: if it is not such a file.
    """
    import scipy.io  # Slow to import, and few data sets need it.

    with path.open("rb") as file:
        try:
            found = scipy.io.loadmat(file, squeeze_me=True, variable_names=[variable]).get(variable)
        except NotImplementedError:
            raise UserError(f"{path}: expected a MATLAB file of -v7 or older, got -v7.3; save it with -v7.") from None
        except (scipy.io.matlab.MatReadError, *_UNREADABLE) as error:
            raise UserError(f"{path}: expected a MATLAB file, but it is none or is damaged: {error}.") from None
    return None if found is None else np.atleast_1d(found)
