"""Makes the metrics that an evaluation is configured with."""
from __future__ import annotations

from ml_collections import ConfigDict

from ornet_tf import metrics, registry
from ornet_tf.metrics import Bootstrap


def make_metrics(config: ConfigDict, bootstrap_samples: int = 0) -> dict[str, metrics.Metric]:
    """Returns name -> a new metric without results.

    Raises:
      MissingPackageError: if a metric needs a package that is not installed.
    """
    options = config.evaluation
    settings = metrics.Settings(
        image_size=config.input.crop,
        threshold=options.threshold,
        iou_threshold=options.iou_threshold,
        components=options.components,
        bootstrap=Bootstrap(bootstrap_samples, seed=config.seed),
    )
    return {
        name: registry.find("metrics", name)(settings, **options.metric_options.get(name, {}))
        for name in options.metrics
    }
