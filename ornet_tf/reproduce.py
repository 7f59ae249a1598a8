"""Makes tables and figures of the paper on a data set: trains what is missing, evaluates it and writes a report.

  python -m ornet_tf.reproduce --config=configs/toybirds.py --workdir=runs/studies --what=table3,fig4 --seeds=0,1,2

The same command resumes an interrupted run. The experiment is trained once per seed; a variant trains its varied phase
only. A variant that several studies share is trained once. `all` makes what the experiment can make.
"""
from __future__ import annotations

import os
from collections.abc import Sequence

from absl import flags, logging
from ml_collections import ConfigDict

from ornet_tf import app, registry, renamed
from ornet_tf.errors import UserError
from ornet_tf.runs import interruption


def main(config: ConfigDict, workdir: str, *, what: Sequence[str], seeds: Sequence[str] | None) -> None:
    """Makes the studies and logs the path of the report."""
    from ornet_tf.reproduction import make_studies  # late, as importing TensorFlow takes seconds

    names, numbers = parse_studies(what), parse_seeds(seeds, config.seed)
    path = make_studies.make_studies(config, workdir, names, numbers, leave_out=list(what) == ["all"])
    logging.info("All results are in %s. Open %s in a browser.", os.path.dirname(path), path)


def parse_studies(what: Sequence[str]) -> list[str]:
    """Returns the study names of the flag; all of them for "all".

    Raises:
      UserError: if there is no such study. For a table or figure of the paper that is left out, the message says why.
    """
    from ornet_tf.reproduction.study import LEFT_OUT  # late, as in `main`

    known = registry.choices("studies")
    if list(what) == ["all"]:
        return known
    if not what:
        raise UserError(f"--what: expected one or more of {', '.join(known)}, or all; got nothing.")
    for name in what:
        if name in LEFT_OUT:
            raise UserError(f"--what={name}: left out, as {LEFT_OUT[name]}. Choose from {', '.join(known)}, all.")
        registry.find("studies", name, where="--what")
        if name in renamed.STUDIES:
            logging.info("%s", renamed.STUDIES[name])
    return list(dict.fromkeys(what))


def parse_seeds(given: Sequence[str] | None, default: int) -> list[int]:
    """Returns the seeds of the flag, or the default.

    Raises:
      UserError: if a seed is not a whole number of at least 0, or is given twice.
    """
    if given is None:
        return [default]
    if not given or not all(text.strip().isdecimal() for text in given):
        raise UserError(f"--seeds: expected whole numbers of at least 0 such as 0,1,2, got {','.join(given)!r}.")
    seeds = [int(text) for text in given]
    if len({*seeds}) < len(seeds):
        raise UserError(f"--seeds: expected each seed once, got {','.join(given)}.")
    return seeds


if __name__ == "__main__":
    app.run(
        main,
        when_ended=interruption.RESUMES,
        options={
            "workdir": app.WORKDIR,
            "what": flags.DEFINE_list(
                "what",
                None,
                "Tables and figures, by file name in ornet_tf/studies, separated by commas; or `all` that can be made.",
                required=True,
            ),
            "seeds": flags.DEFINE_list("seeds", None, "Seeds, separated by commas. Default: config.seed."),
        },
    )
