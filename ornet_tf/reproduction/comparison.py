"""What a comparison of outcomes shows besides its own table or figure."""
from __future__ import annotations

from collections.abc import Sequence

from ornet_tf.reproduction import study_charts, study_galleries, study_tables
from ornet_tf.reproduction.contents import Picture, Table
from ornet_tf.reproduction.outcomes import Outcome


def bars(outcomes: Sequence[Outcome], title: str) -> list[Picture]:
    """Returns a bar for the score of each outcome; nothing where no image has ground truth."""
    pixels = study_charts.score_bars(outcomes, title)
    return [] if pixels is None else [Picture("bars", title, pixels)]


def thresholds(outcomes: Sequence[Outcome], title: str, *notes: str) -> list[Table | Picture]:
    """Returns the curves of CorLoc against the threshold and their numbers; nothing if the metric has no such curve."""
    table = study_tables.thresholds_table(outcomes)
    if table is None:
        return []
    y_label = study_tables.percent(study_tables.SCORE)
    pixels = study_charts.curves(table, title, "threshold on the map", y_label, marker="o")
    return [Picture("thresholds", title, pixels, notes), table]


def histograms(outcomes: Sequence[Outcome], title: str) -> list[Table | Picture]:
    """Returns the histograms of the map values of all images, and their numbers."""
    columns = {outcome.label: outcome.histogram() for outcome in outcomes}
    pixels = study_charts.histograms(columns, title)
    return [Picture("histograms", title, pixels), study_tables.histograms_table("histograms", columns)]


def details(outcomes: Sequence[Outcome], reference: Outcome) -> list[Table | Picture]:
    """Returns all figures, differences to the reference, failures, curves, histograms of map values and a gallery."""
    differences, failures = study_tables.differences_table(outcomes, reference), study_tables.failures_table(outcomes)
    shown: list[Table | Picture] = [study_tables.figures_table(outcomes)]
    shown += [differences] if differences else []
    if failures:
        title = "Right boxes and failures by kind"
        shown += [Picture("failures", title, study_charts.failure_bars(failures, title)), failures]
    shown += thresholds(outcomes, "CorLoc against the threshold on the map")
    shown += histograms(outcomes, "Activation values of all images")
    return shown + study_galleries.maps_gallery(outcomes, "Maps and boxes", boxes=True)
