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

from ornet_tf import app, interruption, registry, study_report
from ornet_tf.errors import UserError
from ornet_tf.outcomes import Outcome, Run
from ornet_tf.studies import LEFT_OUT, Study
from ornet_tf.variants import Trainer


def main(config: ConfigDict, workdir: str, *, what: Sequence[str], seeds: Sequence[str] | None) -> None:
    """Makes the studies and logs where they are."""
    names, numbers = studies(what), parse_seeds(seeds, config.seed)
    path = reproduce(config, workdir, names, numbers)
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


def reproduce(config: ConfigDict, workdir: str, names: Sequence[str], seeds: Sequence[int]) -> str:
    """Trains and evaluates what the studies need and is not there yet, and writes the report.

    Args:
      config: the experiment, which `ornet_tf.config_check.validate` has passed.
      workdir: the folder of all variants; the report is in `<workdir>/report`.
      names: of studies.
      seeds: each variant is trained with each of them.

    Returns:
      The path of index.html.

    Raises:
      UserError: if the experiment lacks what a study varies or compares with, before anything is trained.
    """
    prepared = []
    for name in names:
        study = registry.find("studies", name)()
        trainers = [_trainer(config, workdir, study, seed) for seed in seeds]
        trainers[0].check(list(study.variants(config).values()), study.rows)
        prepared.append((name, study, trainers))
    folder = os.path.join(workdir, "report")
    for name, study, trainers in prepared:
        logging.info("Study %s: %s", name, study.title)
        rows: dict[str, list[Run]] = {row: [] for row in study.rows}
        variants: dict[str, list[Run]] = {label: [] for label in study.variants(config)}
        for trainer in trainers:
            for row, run in trainer.rows(study.rows).items():
                rows[row].append(run)
            for label, changes in study.variants(config).items():
                variants[label].append(trainer.variant(changes))
        shown = study_report.make(
            name,
            study,
            {row: Outcome(row.replace("_", " "), tuple(runs)) for row, runs in rows.items()},
            {label: Outcome(label, tuple(runs)) for label, runs in variants.items()},
        )
        study_report.write(folder, shown)
        logging.info("%s", study_report.markdown(shown))
    return os.path.join(folder, "index.html")


def _trainer(config: ConfigDict, workdir: str, study: Study, seed: int) -> Trainer:
    seeded = config.copy_and_resolve_references()
    seeded.seed = seed
    return Trainer(seeded, workdir, study.phase(config))


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
