"""Training with each erasing strategy, which the paper's Fig. 7 only illustrates; see `fig7`."""
from __future__ import annotations

from ornet_tf.reproduction import comparison, study
from ornet_tf.studies import _rows, _stage_two


class Study(study.Study):
    """Stage two with each erasing strategy."""

    title = "Localization with each erasing strategy"
    about = (
        "Not in the paper, whose Fig. 7 shows the strategies on one image. Each strategy gets the experiment's erasing "
        "options that it knows, so that sizes, thresholds and probabilities are the same. Everything else is as "
        "configured."
    )
    needs_boxes = True

    def rows(self, config):
        """Returns stage one."""
        return {"stage one": _rows.last_phase(config, "stage_one")}

    def variants(self, config):
        """Returns a variant for each strategy; "attentive" is the unchanged experiment."""
        _stage_two.require_attentive_erasing(config)
        options = _stage_two.erasing_options(config)
        return {name: _stage_two.set_erasing(config, name, of_strategy) for name, of_strategy in options.items()}

    def show(self, results):
        """Returns a bar for each strategy, and details."""
        reference = results.variants["attentive"]
        return [*comparison.bars(results.outcomes, self.title), *comparison.details(results.outcomes, reference)]
