"""Weakly supervised object localization with ORNet (Xie et al., ICCV 2021)."""

import os
import sys

# TensorFlow and Keras read these variables once, when they are first imported. So they are set before any module of the
# package imports them. A value that the user has set stays. oneDNN makes a VGG16 step about 1.5 times faster on CPUs;
# TensorFlow leaves it off on many of them.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # important messages of the C++ log come as exceptions too

__version__ = "0.1.0"

# `python -m ornet_tf.NAME` imports TensorFlow for seconds before `app.run` listens to signals. A signal in that time is
# handled here. While Python locates the program, sys.argv[0] is "-m". Other programs keep their signal handlers.
if sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)].startswith(f"{__name__}."):
    from ornet_tf.runs import interruption

    interruption.exit_on_signals()


def load(path):
    """Loads an export from the folder of a version, or the newest version in the folder above.

    See `serving.loaded.load`; the result's method is `localize`.
    """
    from serving import loaded  # late, as importing TensorFlow takes seconds

    return loaded.load(path)
