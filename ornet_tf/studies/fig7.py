"""The paper's Fig. 7: erasing strategies."""
from __future__ import annotations

import inspect

from ornet_tf import registry
from ornet_tf.reproduction import study_charts
from ornet_tf.studies import _stage_two

_STRATEGIES = ("random", "above_threshold", "restricted_rectangle", "attentive")
# The whole rectangle is erased by the strategy of that name: it takes no threshold over.
_OWN = {"restricted_rectangle": {"candidate_threshold"}}


class Study:
    """Stage two with each erasing strategy."""

    title = "Fig. 7: erasing strategies"
    about = (
        "Each strategy has those of the experiment's erasing options that it knows, so that sizes, thresholds and "
        "probabilities are the same. Everything else is as configured."
    )
    rows = ("stage_one",)
    phase = staticmethod(_stage_two.phase)

    def variants(self, config):
        """Returns a variant for each strategy."""
        options = config["phase"][self.phase(config)]["options"]
        given = dict(options["erasing_options"])
        found = {}
        for name in _STRATEGIES:
            known = {*inspect.signature(registry.find("erasing", name)).parameters} - _OWN.get(name, set())
            taken = given if name == options["erasing"] else {k: v for k, v in given.items() if k in known}
            found[name] = _stage_two.erasing(config, name, taken)
        return found

    def draw(self, rows, variants):
        """Returns a bar for each strategy."""
        return study_charts.score_bars([*rows.values(), *variants.values()], self.title)
