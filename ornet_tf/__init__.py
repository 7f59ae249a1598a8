"""Weakly supervised object localization with ORNet (Xie et al., ICCV 2021)."""

import importlib
import os
import sys

# They are read once, when TensorFlow and Keras are first imported, so they are set here, before any module of the
# package imports them, and only where the user has not. oneDNN makes a VGG16 step on CPUs about 1.5 times faster, and
# TensorFlow leaves it off on many of them.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what matters of its C++ log comes as an exception too

__version__ = "0.1.0"

# A program of this package, python -m ornet_tf.NAME, which imports TensorFlow for seconds before its own first line.
# Python itself says so until that line: "-m" stands for the program's path, which is looked for. No other program's
# signals are touched.
if sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)].startswith(f"{__name__}."):
    from ornet_tf.runs import interruption

    interruption.end_at_once()


def load(path):
    """Loads the export in the folder `path`: a version, or the folder above, which stands for its newest version.

    See `serving.loaded.load`; the result's method is `localize`.
    """
    # By name and late: nothing else in this package uses `serving`, and TensorFlow takes seconds to import.
    return importlib.import_module("serving.loaded").load(path)
