"""The paper's Fig. 11(a): localization against alpha and against beta, the weights of Eq. 10."""
from __future__ import annotations

from ornet_tf.reproduction import comparison, study, study_charts
from ornet_tf.reproduction.contents import Picture
from ornet_tf.studies import _stage_two


class Study(study.Study):
    """Stage two with several weights of the weighted entropy, and with several of the area loss."""

    title = "Fig. 11(a): localization against alpha and against beta"
    about = (
        "alpha is the weight of the weighted entropy, beta that of the area loss (Eq. 10). One is varied, the other as "
        "configured. The grids are multiples of the configured weights and ours: the paper's text does not give its "
        "own, nor whether both were varied at once. At 0 the term is left out."
    )
    needs_boxes = True
    # By which the configured weights are multiplied: symbol in the paper -> loss, factors.
    factors = {
        "alpha": ("weighted_entropy", (0.0, 1 / 3, 2 / 3, 1.0, 4 / 3, 2.0)),
        "beta": ("area", (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)),
    }

    def variants(self, config):
        """Returns a variant for each weight; the configured one of alpha and of beta is the unchanged experiment."""
        return {
            _label(symbol, weight): changes
            for symbol in self.factors
            for weight, changes in self._weights(config, symbol).items()
        }

    def show(self, results):
        """Returns both curves, and details."""
        sweeps = []
        for symbol in self.factors:
            weights = [*self._weights(results.config, symbol)]
            outcomes = [results.variants[_label(symbol, weight)] for weight in weights]
            sweeps.append(study_charts.Sweep(symbol, weights, outcomes))
        pixels = study_charts.score_curves(sweeps, self.title)
        curves = [] if pixels is None else [Picture("curves", self.title, pixels)]
        _, factors = self.factors["alpha"]
        return [*curves, *comparison.details(results.outcomes, sweeps[0].outcomes[factors.index(1.0)])]

    def _weights(self, config, symbol):
        """Returns weight -> changes, see `_stage_two.vary_weight`."""
        return _stage_two.vary_weight(config, *self.factors[symbol])


def _label(symbol, weight):
    return f"{symbol} = {weight:g}"
