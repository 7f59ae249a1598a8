"""Trains and evaluates the variants of studies and writes their report."""
from __future__ import annotations

import os
from collections.abc import Sequence

from absl import logging
from ml_collections import ConfigDict

from ornet_tf import registry
from ornet_tf.reproduction import study_report
from ornet_tf.reproduction.outcomes import Outcome, Run
from ornet_tf.reproduction.study import Study
from ornet_tf.reproduction.variants import Trainer


def make_studies(config: ConfigDict, workdir: str, names: Sequence[str], seeds: Sequence[int]) -> str:
    """Trains and evaluates the missing variants of the studies and writes the report.

    Args:
      config: the experiment, checked by `ornet_tf.config_check.validate`.
      workdir: the folder of all variants; the report is in `<workdir>/report`.
      names: the names of the studies.
      seeds: each variant is trained once with each seed.

    Returns:
      The path of index.html.

    Raises:
      UserError: before any training, if the experiment lacks something that a study varies or compares with.
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
            for row, run in trainer.evaluate_rows(study.rows).items():
                rows[row].append(run)
            for label, changes in study.variants(config).items():
                variants[label].append(trainer.train_variant(changes))
        report = study_report.make_report(
            name,
            study,
            {row: Outcome(row.replace("_", " "), tuple(runs)) for row, runs in rows.items()},
            {label: Outcome(label, tuple(runs)) for label, runs in variants.items()},
        )
        study_report.write(folder, report)
        logging.info("%s", study_report.markdown(report))
    return os.path.join(folder, "index.html")


def _trainer(config: ConfigDict, workdir: str, study: Study, seed: int) -> Trainer:
    seeded = config.copy_and_resolve_references()
    seeded.seed = seed
    return Trainer(seeded, workdir, study.phase(config))
