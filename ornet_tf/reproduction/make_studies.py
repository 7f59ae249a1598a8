"""Trains and evaluates an experiment and the variants of studies, and writes the report of the studies."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from absl import logging
from ml_collections import ConfigDict

from ornet_tf import registry
from ornet_tf.data import loading
from ornet_tf.errors import UserError
from ornet_tf.evaluation import row_metrics
from ornet_tf.reproduction import study_report
from ornet_tf.reproduction.outcomes import Outcome, Run
from ornet_tf.reproduction.study import LEFT_OUT, Results, Study
from ornet_tf.reproduction.variants import Trainer, varied_phase


def make_studies(
    config: ConfigDict, workdir: str, names: Sequence[str], seeds: Sequence[int], *, leave_out: bool = False
) -> str:
    """Trains and evaluates what the studies show and is missing, and writes the report.

    Args:
      config: the experiment, checked by `ornet_tf.config_check.validate`.
      workdir: the folder of the experiment and its variants; the report is in `<workdir>/report`.
      names: the names of the studies.
      seeds: the experiment and each variant are trained once with each seed.
      leave_out: whether studies that the experiment can't make are left out with a warning, instead of an error.

    Returns:
      The path of index.html.

    Raises:
      UserError: before any training, if the experiment lacks something that a study shows or varies, if the evaluated
        split lacks boxes that a study needs, or if the folder holds studies of an earlier version.
      MissingPackageError: if a metric needs a package that is not installed.
    """
    row_metrics.make_metrics(config)
    trainers = [Trainer(_with_seed(config, seed), workdir) for seed in seeds]
    for trainer in trainers:
        trainer.check_folder()
    studies, left_out = _prepare(config, names, trainers[0], leave_out=leave_out)
    if not studies:
        reasons = " ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UserError(f"--what: expected a study that the experiment can make, got none. {reasons}")
    rows = dict.fromkeys(row for study in studies.values() for row in _rows_of_experiment(config, study))
    by_seed = [trainer.evaluate_experiment(rows) for trainer in trainers]
    folder = os.path.join(workdir, "report")
    for name, reason in left_out.items():
        study_report.write_left_out(folder, name, reason)
    for name, study in studies.items():
        logging.info("Study %s: %s", name, study.title)
        report = study_report.make_report(name, study, _results(config, study, trainers, by_seed))
        study_report.write(folder, report)
        logging.info("%s", study_report.markdown(report))
    return os.path.join(folder, "index.html")


def _rows_of_experiment(config: ConfigDict, study: Study) -> list[str]:
    """Returns the rows of the unchanged experiment that a study shows, as a row or as a variant without changes."""
    phase = varied_phase(study.variants(config).values())
    return [*study.rows(config).values(), *([phase] if phase else [])]


def _with_seed(config: ConfigDict, seed: int) -> ConfigDict:
    seeded = config.copy_and_resolve_references()
    seeded.seed = seed
    return seeded


def _prepare(
    config: ConfigDict, names: Sequence[str], trainer: Trainer, *, leave_out: bool
) -> tuple[dict[str, Study], dict[str, str]]:
    """Returns the studies by name, and why others are left out, by name as well; reads the data if they need boxes."""
    studies, left_out = {}, {}
    for name in names:
        study = registry.find("studies", name)()
        try:
            trainer.check(study.rows(config).values(), study.variants(config).values())
        except UserError as error:
            if not leave_out:
                raise
            left_out[name] = str(error)
        else:
            studies[name] = study
    without_boxes = _lack_boxes(config, studies)
    if without_boxes and not leave_out:
        raise UserError(f"--what={','.join(without_boxes)}: {next(iter(without_boxes.values()))}")
    studies = {name: study for name, study in studies.items() if name not in without_boxes}
    left_out.update(without_boxes)
    if leave_out:
        left_out.update({name: f"{reason}." for name, reason in LEFT_OUT.items()})
        for name, reason in left_out.items():
            logging.warning("Left out: %s: %s", name, reason)
    return studies, left_out


def _lack_boxes(config: ConfigDict, studies: Mapping[str, Study]) -> dict[str, str]:
    """Returns name -> why, for the studies that need boxes, if the evaluated split has none."""
    names = [name for name, study in studies.items() if study.needs_boxes]
    split = config.evaluation.split
    if not names or any(len(boxes) for boxes in loading.load_source(config, split).boxes or ()):
        return {}
    reason = (
        f"config.dataset: expected boxes in the {split} split of {config.dataset.name}, as the study measures "
        "localization, got none; add boxes, or choose studies that do without, such as table1 and fig2."
    )
    return dict.fromkeys(names, reason)


def _results(
    config: ConfigDict, study: Study, trainers: Sequence[Trainer], by_seed: Sequence[Mapping[str, Run]]
) -> Results:
    """Trains and evaluates the variants of a study and returns its results."""
    variants = study.variants(config)
    phase = varied_phase(variants.values())
    runs: dict[str, list[Run]] = {label: [] for label in variants}
    for trainer, of_experiment in zip(trainers, by_seed):
        for label, changes in variants.items():
            is_unchanged = not trainer.is_changed(changes)
            runs[label].append(of_experiment[phase] if is_unchanged else trainer.evaluate_variant(changes, phase))
    return Results(
        config,
        {
            label: Outcome(label, tuple(of_seed[row] for of_seed in by_seed))
            for label, row in study.rows(config).items()
            if row in by_seed[0]
        },
        {label: Outcome(label, tuple(of_label)) for label, of_label in runs.items()},
    )
