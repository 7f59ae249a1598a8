"""Charts of the outcomes of studies. A chart is an image, uint8 [H, W, 3]."""
from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence

import numpy as np

from ornet_tf.reproduction import study_tables
from ornet_tf.reproduction.contents import Table
from ornet_tf.reproduction.outcomes import BINS, Outcome

# Okabe and Ito's colours, which colour-blind people can tell apart, and two more.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6E46", "#969696")
_STYLES = ("-", "--", ":")  # of the lines of the first 9 outcomes, the next 9, ...
_BAR = 0.65  # height of a bar, as a share of the distance between bars


def score_bars(outcomes: Sequence[Outcome], title: str) -> np.ndarray | None:
    """Draws the score of each outcome as a bar with its interval; None where no image has ground truth."""
    key = study_tables.score(outcomes)
    shown = [outcome for outcome in outcomes if outcome.mean(key) is not None]
    if not shown:
        return None
    figure, axes = _bar_chart([outcome.label for outcome in shown], title, study_tables.percent(key))
    axes.barh(range(len(shown)), [outcome.mean(key) for outcome in shown], height=_BAR)
    if (intervals := _intervals(shown, key)) is not None:
        axes.errorbar(intervals[0], range(len(shown)), xerr=intervals[1], fmt="none", ecolor="black", capsize=4)
    return _pixels(figure)


class Sweep(typing.NamedTuple):
    """Outcomes over the values of one option: `values` has one number per outcome, `option` names its axis."""

    option: str
    values: Sequence[float]
    outcomes: Sequence[Outcome]


def score_curves(sweeps: Sequence[Sweep], title: str) -> np.ndarray | None:
    """Draws, side by side, the score and the best score over thresholds against each option, with intervals.

    Returns None where no image has ground truth.
    """
    every = [outcome for sweep in sweeps for outcome in sweep.outcomes]
    key = study_tables.score(every)
    keys = [k for k in (key, f"{key}_best_on_evaluated_data") if all(o.mean(k) is not None for o in every)]
    if not keys:
        return None
    figure, *all_axes = _chart(title, *(sweep.option for sweep in sweeps), y_label="percent")
    for sweep, axes in zip(sweeps, all_axes):
        for k in keys:
            label = study_tables.words(k) if axes is all_axes[0] else None
            line, = axes.plot(sweep.values, [outcome.mean(k) for outcome in sweep.outcomes], "o-", label=label)
            if (intervals := _intervals(sweep.outcomes, k)) is not None:
                axes.errorbar(
                    sweep.values, intervals[0], yerr=intervals[1], fmt="none", ecolor=line.get_color(), capsize=4
                )
    top = max(axes.get_ylim()[1] for axes in all_axes)
    for axes in all_axes:
        axes.set_ylim(top=top)
    return _pixels(figure)


def histograms(columns: Mapping[str, np.ndarray], title: str) -> np.ndarray:
    """Draws histograms of map values: label -> percent of the pixels [BINS]."""
    figure, axes = _chart(title, "activation value", y_label="percent of the pixels")
    for index, (label, shares) in enumerate(columns.items()):
        edges = np.linspace(0.0, 1.0, BINS + 1)
        axes.stairs(shares, edges, label=label, baseline=None, linestyle=_style(index))
    return _pixels(figure)


def curves(table: Table, title: str, x_label: str, y_label: str, *, marker: str = "") -> np.ndarray:
    """Draws the columns of a table of `study_tables.by_place` as curves, with Matplotlib's markers at its places."""
    figure, axes = _chart(title, x_label, y_label=y_label)
    axis, *labels = table.head
    places = [line[axis] for line in table.numbers]
    for index, label in enumerate(labels):
        values = [line[label] for line in table.numbers]
        axes.plot(places, values, _style(index), label=label, marker=marker, markersize=4)
    return _pixels(figure)


def failure_bars(table: Table, title: str) -> np.ndarray:
    """Draws one bar for each line of `study_tables.failures_table`: the shares of right boxes and failure kinds."""
    figure, axes = _bar_chart([line["label"] for line in table.numbers], title, "percent of the images", legend=0.6)
    ends = np.zeros(len(table.numbers))
    for kind in table.head[1:]:
        lengths = [line[kind] for line in table.numbers]
        axes.barh(range(len(ends)), lengths, left=ends, height=_BAR, label=kind)
        ends = ends + lengths
    axes.set_xlim(0, 100)
    return _pixels(figure)


def _style(index: int) -> str:
    return _STYLES[index // len(_COLOURS) % len(_STYLES)]


def _intervals(outcomes: Sequence[Outcome], key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the centres [N] and half the widths [N] of intervals; None unless every outcome has one."""
    ranges = [outcome.range(key) for outcome in outcomes]
    return (np.mean(ranges, axis=1), np.ptp(ranges, axis=1) / 2) if all(ranges) else None


def _chart(title: str, *x_labels: str, y_label: str = "", height: float = 5.6):
    """Returns a figure, `height` inches high, and its axes, one for each label, side by side."""
    from matplotlib.figure import Figure  # Slow to import, and only studies draw charts.

    figure = Figure(figsize=(9.6, height), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    all_axes = figure.subplots(1, len(x_labels), squeeze=False)[0]
    all_axes[0].set_title(title, loc="left")
    for axes, x_label in zip(all_axes, x_labels):
        axes.set(xlabel=x_label, ylabel=y_label, axisbelow=True)
        axes.set_prop_cycle(color=_COLOURS)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.9")
    return figure, *all_axes


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

    for axes in figure.axes:
        if axes.get_ylabel():
            axes.set_ylim(bottom=0)
    if figure.axes[0].get_legend_handles_labels()[1]:
        figure.legend(loc="outside lower left", ncols=3, frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
