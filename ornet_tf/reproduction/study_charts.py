"""Charts and tables of the outcomes of studies. A chart is an image, uint8 [H, W, 3]."""
from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence

import numpy as np

from ornet_tf.metrics import Bootstrap, format_figure
from ornet_tf.reproduction.outcomes import BINS, Outcome

_KEY = "corloc"  # the compared figure, if the metric has it
# Okabe and Ito's colours, which colour-blind people can tell apart, and two more.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6E46", "#969696")
_BAR = 0.65  # height of a bar, as a share of the distance between bars


class Table(typing.NamedTuple):
    """A table as text and as numbers.

    Attributes:
      title: the title, one line.
      head: names of the columns; the first column holds the labels.
      lines: the cells of each line as text.
      numbers: for CSV: one dictionary per line, name of the column -> number; "label" is the label.
    """

    title: str
    head: list[str]
    lines: list[list[str]]
    numbers: list[dict[str, object]]


def score(outcomes: Sequence[Outcome]) -> str:
    """Returns the key of the compared figure: CorLoc at the fixed threshold, or the metric's first figure."""
    known = list(outcomes[0].runs[0].figures())
    return _KEY if _KEY in known or not known else known[0]


def words(key: str) -> str:
    """Returns the displayed name of a figure."""
    return key.replace("corloc", "CorLoc").replace("locerr", "LocErr").replace("clserr", "ClsErr").replace("_", " ")


def score_bars(outcomes: Sequence[Outcome], title: str) -> np.ndarray | None:
    """Draws the score of each outcome as a bar with its interval; None where no image has ground truth."""
    key = score(outcomes)
    shown = [outcome for outcome in outcomes if outcome.mean(key) is not None]
    if not shown:
        return None
    figure, axes = _bar_chart([outcome.label for outcome in shown], title, _percent(key))
    axes.barh(range(len(shown)), [outcome.mean(key) for outcome in shown], height=_BAR)
    if (intervals := _intervals(shown, key)) is not None:
        axes.errorbar(intervals[0], range(len(shown)), xerr=intervals[1], fmt="none", ecolor="black", capsize=4)
    return _pixels(figure)


def score_curve(x: Sequence[float], outcomes: Sequence[Outcome], title: str, x_label: str) -> np.ndarray | None:
    """Draws the score and the best score over thresholds, with intervals; None where no image has ground truth.

    `x` has one number per outcome; `x_label` is the label of its axis.
    """
    key = score(outcomes)
    keys = [k for k in (key, f"{key}_best_on_evaluated_data") if all(o.mean(k) is not None for o in outcomes)]
    if not keys:
        return None
    figure, axes = _chart(title, x_label, "percent")
    for k in keys:
        line, = axes.plot(x, [outcome.mean(k) for outcome in outcomes], "o-", label=words(k))
        if (intervals := _intervals(outcomes, k)) is not None:
            axes.errorbar(x, intervals[0], yerr=intervals[1], fmt="none", ecolor=line.get_color(), capsize=4)
    return _pixels(figure)


def histograms(outcomes: Sequence[Outcome], title: str) -> np.ndarray:
    """Draws the histogram of each outcome's map values."""
    figure, axes = _chart(title, "activation value", "percent of the pixels")
    for outcome in outcomes:
        axes.stairs(outcome.histogram(), np.linspace(0.0, 1.0, BINS + 1), label=outcome.label, baseline=None)
    return _pixels(figure)


def threshold_curves(outcomes: Sequence[Outcome], title: str) -> np.ndarray | None:
    """Draws CorLoc against the threshold on the map, the mean over seeds; None where the metric has no such curve."""
    table = thresholds_table(outcomes)
    if table is None:
        return None
    figure, axes = _chart(title, "threshold on the map", _percent(_KEY))
    places = [line["threshold"] for line in table.numbers]
    for label in table.head[1:]:
        axes.plot(places, [line[label] for line in table.numbers], "o-", label=label, markersize=4)
    return _pixels(figure)


def failure_bars(outcomes: Sequence[Outcome], title: str) -> np.ndarray | None:
    """Draws one bar per outcome with the shares of right boxes and failure kinds; None if they are not known."""
    table = failures_table(outcomes)
    if table is None:
        return None
    figure, axes = _bar_chart([line["label"] for line in table.numbers], title, "percent of the images", legend=0.6)
    ends = np.zeros(len(table.numbers))
    for kind in table.head[1:]:
        lengths = [line[kind] for line in table.numbers]
        axes.barh(range(len(ends)), lengths, left=ends, height=_BAR, label=kind)
        ends = ends + lengths
    axes.set_xlim(0, 100)
    return _pixels(figure)


def _intervals(outcomes: Sequence[Outcome], key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the centres [N] and half the widths [N] of intervals; None unless every outcome has one."""
    ranges = [outcome.range(key) for outcome in outcomes]
    return (np.mean(ranges, axis=1), np.ptp(ranges, axis=1) / 2) if all(ranges) else None


def _chart(title: str, x_label: str, y_label: str = "", *, height: float = 5.6):
    """Returns a figure, `height` inches high, and its axes."""
    from matplotlib.figure import Figure  # Slow to import, and only studies draw charts.

    figure = Figure(figsize=(9.6, height), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    axes = figure.add_subplot(xlabel=x_label, ylabel=y_label, axisbelow=True)
    axes.set_title(title, loc="left")
    axes.set_prop_cycle(color=_COLOURS)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9")
    return figure, axes


def _bar_chart(labels: Sequence[str], title: str, x_label: str, *, legend: float = 0.0):
    """Returns a figure for one horizontal bar per label, with `legend` inches of space below, and its axes."""
    figure, axes = _chart(title, x_label, height=1.3 + 0.36 * len(labels) + legend)
    axes.set_yticks(range(len(labels)), labels=labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    return figure, axes


def _pixels(figure) -> np.ndarray:
    """Adds a legend if a series has a label, draws the figure and returns its pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    axes, = figure.axes
    if axes.get_ylabel():
        axes.set_ylim(bottom=0)
    if axes.get_legend_handles_labels()[1]:
        figure.legend(loc="outside lower left", ncols=3, frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def figures_table(outcomes: Sequence[Outcome]) -> Table:
    """Returns every figure: with the interval of one seed, or as mean and standard deviation of several."""
    keys = list(dict.fromkeys(key for outcome in outcomes for run in outcome.runs for key in run.figures()))
    several = len(outcomes[0].runs) > 1
    lines, numbers = [], []
    for outcome in outcomes:
        values = {"label": outcome.label, "seeds": len(outcome.runs)}
        cells = [outcome.label]
        for key in keys:
            mean, ends = outcome.mean(key), outcome.range(key)
            values[key] = mean
            if ends:
                values[f"{key}_low"], values[f"{key}_high"] = ends
            cells.append(f"{mean:.1f} ± {np.ptp(ends) / 2:.1f}" if several and ends else format_figure(mean, ends))
        lines.append(cells)
        numbers.append(values)
    what = "mean ± standard deviation of the seeds" if several else "in square brackets 95 % bootstrap intervals"
    return Table(f"Figures in percent; {what}", ["", *map(words, keys)], lines, numbers)


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
    return Table(title, head, lines, numbers) if lines else None


def thresholds_table(outcomes: Sequence[Outcome]) -> Table | None:
    """Returns the numbers of `threshold_curves`."""
    curves = {}
    for outcome in outcomes:
        found = [run.summary().get("corloc_by_threshold") for run in outcome.runs]
        if all(found):
            curves[outcome.label] = np.mean(found, axis=0)
    if not curves:
        return None
    places = outcomes[0].runs[0].summary()["thresholds"]
    return _by_place(f"{_percent(_KEY)} by threshold on the map", "threshold", places, curves)


def histograms_table(outcomes: Sequence[Outcome]) -> Table:
    """Returns the numbers of `histograms`, at the lower ends of the bins."""
    edges = np.linspace(0.0, 1.0, BINS + 1)[:-1].round(6)
    columns = {outcome.label: outcome.histogram() for outcome in outcomes}
    return _by_place("Activation values, percent of the pixels by lower end of the bin", "from", edges, columns)


def _by_place(title: str, axis: str, places: Sequence[float], columns: Mapping[str, Sequence[float]]) -> Table:
    lines = [[f"{p:g}", *(f"{c[i]:.1f}" for c in columns.values())] for i, p in enumerate(places)]
    numbers = [{axis: float(p), **{k: float(c[i]) for k, c in columns.items()}} for i, p in enumerate(places)]
    return Table(title, [axis, *columns], lines, numbers)


def failures_table(outcomes: Sequence[Outcome]) -> Table | None:
    """Returns the percentage of images with each kind of failure, or None if it is not known."""
    shares = {outcome.label: outcome.failures() for outcome in outcomes}
    shares = {label: share for label, share in shares.items() if share}
    if not shares:
        return None
    kinds = list(next(iter(shares.values())))
    lines = [[label, *(f"{share[kind]:.1f}" for kind in kinds)] for label, share in shares.items()]
    numbers = [{"label": label, **share} for label, share in shares.items()]
    return Table("Failures by kind, percent of the images", ["", *kinds], lines, numbers)


def _percent(key: str) -> str:
    return f"{words(key)} in percent"
