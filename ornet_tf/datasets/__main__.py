"""Starts `ornet_tf.check_data`.

  python -m ornet_tf.datasets check --config=configs/cub.py
"""
from __future__ import annotations

import sys

from ornet_tf import check_data

_HELP = {"--help", "-help", "--helpshort", "-helpshort", "--helpfull", "-helpfull", "-?"}  # absl's help flags

if __name__ == "__main__":
    if sys.argv[1:2] == ["check"]:
        del sys.argv[1]
    elif not set(sys.argv[1:2]) & _HELP:
        sys.stderr.write("Error: expected `python -m ornet_tf.datasets check --config=FILE`.\n")
        sys.exit(1)
    check_data.start()
