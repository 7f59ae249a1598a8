"""Makes tables and figures that compare variants of an experiment: trains what is missing, evaluates, writes a report.

  python -m ornet_tf.reproduce --config=configs/toybirds.py --workdir=runs/studies --what=table3,fig4 --seeds=0,1,2

The same command again goes on where it stopped. Phases before the varied one are trained once for each seed, and a
variant that several studies have is trained once.
"""
from __future__ import annotations

import os
from collections.abc import Sequence

from absl import flags, logging
from ml_collections import ConfigDict

from ornet_tf import app, registry
from ornet_tf.errors import UserError
from ornet_tf.reproduction import make_studies
from ornet_tf.reproduction.study import LEFT_OUT
from ornet_tf.runs import interruption


def main(config: ConfigDict, workdir: str, *, what: Sequence[str], seeds: Sequence[str] | None) -> None:
    """Makes the studies and logs where they are."""
    names, numbers = studies(what), parse_seeds(seeds, config.seed)
    path = make_studies.make_studies(config, workdir, names, numbers)
    logging.info("Everything is in %s; open %s in a browser.", os.path.dirname(path), path)


def studies(what: Sequence[str]) -> list[str]:
    """Returns the names of studies, all of them for "all".

    Raises:
      UserError: if there is no such study; the message says why, where the paper has it.
    """
    known = registry.choices("studies")
    if list(what) == ["all"]:
        return known
    if not what:
        raise UserError(f"--what: expected one or more of {', '.join(known)}, or all; got nothing.")
    for name in what:
        if name in LEFT_OUT:
            raise UserError(f"--what={name}: left out, for {LEFT_OUT[name]}. Choose from {', '.join(known)}, all.")
        registry.find("studies", name, where="--what")
    return list(dict.fromkeys(what))


def parse_seeds(given: Sequence[str] | None, default: int) -> list[int]:
    """Returns the seeds of the flag, or the default.

    Raises:
      UserError: if one is no whole number from 0 on, or is there twice.
    """
    if given is None:
        return [default]
    if not given or not all(text.strip().isdecimal() for text in given):
        raise UserError(f"--seeds: expected whole numbers from 0 on such as 0,1,2, got {','.join(given)!r}.")
    seeds = [int(text) for text in given]
    if len({*seeds}) < len(seeds):
        raise UserError(f"--seeds: expected each seed once, got {','.join(given)}.")
    return seeds


if __name__ == "__main__":
    app.run(
        main,
        when_ended=interruption.GOES_ON,
        options={
            "what": flags.DEFINE_list(
                "what",
                None,
                "Tables and figures, by their file names in ornet_tf/studies, separated by commas, or `all`.",
                required=True,
            ),
            "seeds": flags.DEFINE_list("seeds", None, "Seeds, separated by commas; without it, config.seed."),
        },
    )
