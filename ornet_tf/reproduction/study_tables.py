"""Tables of the outcomes of studies."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ornet_tf.metrics import FAILURE_KINDS, Bootstrap, format_figure
from ornet_tf.reproduction.contents import Table
from ornet_tf.reproduction.outcomes import BINS, Outcome
from ornet_tf.reproduction.paper_tables import QuotedTable

SCORE = "corloc"  # the compared figure, if the metric has it
# Parts of keys -> how they are displayed.
_WORDS = {
    "corloc": "CorLoc", "locerr": "LocErr", "clserr": "ClsErr", "_top": "_top-", "iou": "IoU", "auroc": "AUROC",
}  # fmt: skip
_FRACTIONS = ("mean_iou", "box_score_auroc")  # figures that are no percentages


def score(outcomes: Sequence[Outcome]) -> str:
    """Returns the key of the compared figure: CorLoc at the fixed threshold, or the metric's first figure."""
    known = list(outcomes[0].runs[0].figures())
    return SCORE if SCORE in known or not known else known[0]


def words(key: str) -> str:
    """Returns the displayed name of a figure."""
    for short, displayed in _WORDS.items():
        key = key.replace(short, displayed)
    return key.replace("_", " ")


def beside_paper(outcomes: Mapping[str, Outcome], quoted: QuotedTable, counterparts: Mapping[str, str]) -> Table:
    """Returns the columns of a table of the paper, as measured here and, beside each, as printed in the paper.

    Args:
      outcomes: label -> outcome: the lines of the table.
      quoted: the paper's table.
      counterparts: label -> the line of the paper's table that shows the same; other lines have none.
    """
    lines, numbers = [], []
    for label, outcome in outcomes.items():
        cells, values = [label], {"label": label, "seeds": len(outcome.runs)}
        printed = quoted.rows.get(counterparts.get(label, ""), ("-",) * len(quoted.keys))
        for key, of_paper in zip(quoted.keys, printed):
            cells += [_measured(outcome, key, values), of_paper]
            values[f"{key}_in_paper"] = None if of_paper == "-" else float(of_paper)
        lines.append(cells)
        numbers.append(values)
    head = [name for key in quoted.keys for name in (words(key), "paper")]
    other = {label: of_paper for label, of_paper in counterparts.items() if of_paper not in (label, "")}
    notes = (
        f"“paper”: the same figure in the paper's {quoted.name}, measured there on {quoted.data}, not here.",
        *(f"{label}: in the paper {of_paper}." for label, of_paper in other.items()),
    )
    return Table("beside_paper", f"{quoted.name}, measured here; {_uncertainty(outcomes.values())}", ["", *head],
                 lines, numbers, notes)  # fmt: skip


def quote(table: QuotedTable) -> Table:
    """Returns a whole table of the paper, as printed there."""
    lines = [[label, *figures] for label, figures in table.rows.items()]
    numbers = [
        {"label": label, **{key: None if text == "-" else float(text) for key, text in zip(table.keys, figures)}}
        for label, figures in table.rows.items()
    ]
    title = f"Quoted from the paper's {table.name}: measured on {table.data}, not here"
    return Table("quoted", title, ["", *map(words, table.keys)], lines, numbers)


def figures_table(outcomes: Sequence[Outcome]) -> Table:
    """Returns every figure: with the interval of one seed, or as mean and standard deviation of several."""
    keys = list(dict.fromkeys(key for outcome in outcomes for run in outcome.runs for key in run.figures()))
    lines, numbers = [], []
    for outcome in outcomes:
        values = {"label": outcome.label, "seeds": len(outcome.runs)}
        lines.append([outcome.label, *(_measured(outcome, key, values) for key in keys)])
        numbers.append(values)
    notes = tuple(f"{words(key)}: from 0 to 1." for key in _FRACTIONS if key in keys)
    return Table("figures", f"All figures; {_uncertainty(outcomes)}", ["", *map(words, keys)], lines, numbers, notes)


def _measured(outcome: Outcome, key: str, values: dict[str, object]) -> str:
    """Returns the cell of a figure, and adds the figure and the ends of its range to `values`."""
    mean, ends = outcome.mean(key), outcome.range(key)
    values[key] = mean
    if ends:
        values[f"{key}_low"], values[f"{key}_high"] = ends
    if key in _FRACTIONS and mean is not None:
        return f"{mean:.3f}"
    if ends and len(outcome.runs) > 1:
        return f"{mean:.1f} ± {np.ptp(ends) / 2:.1f}"
    return format_figure(mean, ends)


def _uncertainty(outcomes: Sequence[Outcome]) -> str:
    several = any(len(outcome.runs) > 1 for outcome in outcomes)
    ranges = "mean ± standard deviation of the seeds" if several else "in square brackets 95 % bootstrap intervals"
    return f"percent, {ranges}"


def differences_table(outcomes: Sequence[Outcome], reference: Outcome) -> Table | None:
    """Returns the paired difference of each outcome to the reference, for each seed and as the mean over seeds.

    A seed's interval is the 95 % bootstrap interval of the difference per image. None if the metric does not count
    single images as right or wrong.
    """
    def right(outcome):
        return [run.per_image().get("right") for run in outcome.runs]

    base, lines, numbers = right(reference), [], []
    seeds = [run.config.seed for run in reference.runs]
    for outcome in outcomes:
        own = right(outcome)
        if outcome is reference or any(column is None for column in (*own, *base)):
            continue
        values, cells, means = {"label": outcome.label}, [outcome.label], []
        for seed, mine, other, run in zip(seeds, own, base, outcome.runs):
            differences = (mine - other)[~np.isnan(mine)]
            if not len(differences):
                return None
            bootstrap = Bootstrap(run.result["bootstrap_samples"], seed=seed)
            sums = bootstrap.sums(differences)
            ends = None if sums is None else bootstrap.interval(100 * sums / len(differences))
            means.append(100 * differences.mean())
            values[f"seed_{seed}"] = means[-1]
            if ends:
                values[f"seed_{seed}_low"], values[f"seed_{seed}_high"] = ends
            cells.append(format_figure(means[-1], ends))
        values["mean"] = float(np.mean(means))
        spread = f" ± {np.std(means, ddof=1):.1f}" if len(means) > 1 else ""
        lines.append([*cells, f"{values['mean']:.1f}{spread}"])
        numbers.append(values)
    head = ["", *(f"seed {seed}" for seed in seeds), "mean"]
    title = f"Right boxes: difference to “{reference.label}” in points, image by image"
    return Table("differences", title, head, lines, numbers) if lines else None


def failures_table(outcomes: Sequence[Outcome]) -> Table | None:
    """Returns the percentage of images with each kind of failure, or None if it is not known."""
    shares = {outcome.label: outcome.failures() for outcome in outcomes}
    shares = {label: share for label, share in shares.items() if share}
    if not shares:
        return None
    kinds = list(next(iter(shares.values())))
    lines = [[label, *(f"{share[kind]:.1f}" for kind in kinds)] for label, share in shares.items()]
    numbers = [{"label": label, **share} for label, share in shares.items()]
    notes = tuple(f"{kind}: {meaning}" for kind, meaning in FAILURE_KINDS.items())
    return Table("failures", "Failures by kind, percent of the images", ["", *kinds], lines, numbers, notes)


def thresholds_table(outcomes: Sequence[Outcome]) -> Table | None:
    """Returns CorLoc by threshold on the map, the mean over seeds; None where the metric has no such curve."""
    curves = {}
    for outcome in outcomes:
        found = [run.summary().get("corloc_by_threshold") for run in outcome.runs]
        if all(found):
            curves[outcome.label] = np.mean(found, axis=0)
    if not curves:
        return None
    places = outcomes[0].runs[0].summary()["thresholds"]
    return by_place("thresholds", f"{percent(SCORE)} by threshold on the map", "threshold", places, curves)


def histograms_table(name: str, columns: Mapping[str, Sequence[float]]) -> Table:
    """Returns histograms of map values, label -> [BINS], at the lower ends of the bins."""
    edges = np.linspace(0.0, 1.0, BINS + 1)[:-1].round(6)
    return by_place(name, "Activation values, percent of the pixels by lower end of the bin", "from", edges, columns)


def by_place(
    name: str, title: str, axis: str, places: Sequence[float], columns: Mapping[str, Sequence[float]]
) -> Table:
    """Returns the numbers of curves, label -> one number for each place on the axis."""
    lines = [[f"{p:g}", *(f"{c[i]:.4g}" for c in columns.values())] for i, p in enumerate(places)]
    numbers = [{axis: float(p), **{k: float(c[i]) for k, c in columns.items()}} for i, p in enumerate(places)]
    return Table(name, title, [axis, *columns], lines, numbers, is_long=True)


def percent(key: str) -> str:
    """Returns the label of an axis that shows a figure."""
    return f"{words(key)} in percent"
