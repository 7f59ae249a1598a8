"""Moves the weights of a run to another machine or stack in one file.

  python -m ornet_tf.weights --config=configs/toybirds.py --workdir=runs/toybirds pack toybirds.npz
  python -m ornet_tf.weights --config=configs/toybirds.py --workdir=runs/elsewhere unpack toybirds.npz
"""
from __future__ import annotations

from collections.abc import Sequence

from absl import logging
from ml_collections import ConfigDict

from ornet_tf import app
from ornet_tf.errors import UserError


def main(config: ConfigDict, workdir: str, arguments: Sequence[str]) -> None:
    """Packs or unpacks, as the first of the two arguments says; the second is the file."""
    from ornet_tf.training import weights_file  # late, as importing TensorFlow takes seconds

    actions = {"pack": weights_file.pack, "unpack": weights_file.unpack}
    if len(arguments) != 2 or arguments[0] not in actions:
        raise UserError(f"Expected the arguments 'pack FILE' or 'unpack FILE', got {' '.join(arguments)!r}.")
    names = actions[arguments[0]](config, workdir, arguments[1])
    logging.info("%sed the phases %s: %s.", arguments[0].capitalize(), ", ".join(names), arguments[1])


if __name__ == "__main__":
    app.run(main, options={"workdir": app.WORKDIR}, arguments="arguments")
