"""Starts `ornet_tf.check_data` or `ornet_tf.shard_data`.

  python -m ornet_tf.datasets check --config=configs/cub.py
  python -m ornet_tf.datasets shard --config=configs/cub.py --output=cub_shards
"""
from __future__ import annotations

import sys

from ornet_tf import check_data, shard_data

_PROGRAMS = {"check": check_data.start, "shard": shard_data.start}
_HELP = {"--help", "-help", "--helpshort", "-helpshort", "--helpfull", "-helpfull", "-?"}  # absl's help flags

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in _PROGRAMS:
        _PROGRAMS[sys.argv.pop(1)]()
    elif set(sys.argv[1:2]) & _HELP:
        check_data.start()
    else:
        sys.stderr.write("Error: expected `python -m ornet_tf.datasets check` or `shard`, and --config=FILE.\n")
        sys.exit(1)
