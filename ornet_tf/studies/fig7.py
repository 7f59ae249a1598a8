"""The paper's Fig. 7: erasing strategies."""
from __future__ import annotations

import inspect

from ornet_tf import registry
from ornet_tf.reproduction import study_charts
from ornet_tf.studies import _stage_two

_STRATEGIES = ("random", "above_threshold", "restricted_rectangle", "attentive")
# Options that a strategy keeps at its own default: `restricted_rectangle` erases the whole rectangle.
_NOT_SHARED = {"restricted_rectangle": {"candidate_threshold"}}


class Study:
    """Stage two with each erasing strategy."""

    title = "Fig. 7: erasing strategies"
    about = (
        "Each strategy gets the experiment's erasing options that it knows, so that sizes, thresholds and "
        "probabilities are the same. Everything else is as configured."
    )
    rows = ("stage_one",)
    phase = staticmethod(_stage_two.find_phase)

    def variants(self, config):
        """Returns a variant for each strategy."""
        options = config["phase"][self.phase(config)]["options"]
        configured = dict(options["erasing_options"])
        variants = {}
        for name in _STRATEGIES:
            known = {*inspect.signature(registry.find("erasing", name)).parameters} - _NOT_SHARED.get(name, set())
            shared = {key: value for key, value in configured.items() if key in known}
            is_configured = name == options["erasing"]
            variants[name] = _stage_two.set_erasing(config, name, configured if is_configured else shared)
        return variants

    def draw(self, rows, variants):
        """Returns a bar for each strategy."""
        return study_charts.score_bars([*rows.values(), *variants.values()], self.title)
