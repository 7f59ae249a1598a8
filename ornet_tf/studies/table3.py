"""The paper's Table 3: what each component of stage two adds."""
from __future__ import annotations

from ornet_tf.reproduction import study_charts
from ornet_tf.studies import _stage_two


class Study:
    """Stage two with none, some and all of its components."""

    title = "Table 3: what each component of stage two adds"
    about = (
        "L_e: the evaluator's cross-entropy. L_w: the weighted entropy. L_a: the area loss. Erasing and all other "
        "losses are those of the experiment. The last line has the plain entropy of Eq. 13 instead of the weighted one."
    )
    rows = ("stage_one",)
    phase = staticmethod(_stage_two.find_phase)

    def variants(self, config):
        """Returns the combinations of the components; the one with all of them is the unchanged experiment."""
        entropy = _stage_two.find_entropy_term(config)
        removed_parts = {
            "L_e": ("entropy", "area", "erasing"),
            "L_e + L_w": ("area", "erasing"),
            "L_e + erasing": ("entropy", "area"),
            "L_e + L_w + L_a": ("erasing",),
            "L_e + L_w + erasing": ("area",),
        }
        changes = {label: _stage_two.remove_parts(config, *parts) for label, parts in removed_parts.items()}
        plain = {f"{entropy}.plugin": "entropy", f"{entropy}.options": {}}
        return {**changes, "all: L_e + L_w + L_a + erasing": {}, "all, plain entropy": plain}

    def draw(self, rows, variants):
        """Returns a bar for each line of the table."""
        return study_charts.score_bars([*rows.values(), *variants.values()], self.title)
