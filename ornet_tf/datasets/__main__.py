"""Looks at every image, box and mask of a data set; see `ornet_tf/check_data.py`.

  python -m ornet_tf.datasets check --config=configs/cub.py
"""
from __future__ import annotations

from ornet_tf import check_data

if __name__ == "__main__":
    check_data.start()
