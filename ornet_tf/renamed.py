"""Names of earlier versions: an old option is answered with its new name, and runs of then can go on."""
from __future__ import annotations

from typing import Any

# Options, sections and files of plug-ins -> what they are called now.
_NAMES = {
    "accumulate": "gradient_accumulation",
    "reuse_frozen": "cache_frozen_features",
    "map_gain": "logit_scale",
    "protocols": "metrics",
    "protocol_options": "metric_options",
    "pictures": "gallery_images",
    "half_open": "corloc",
    "seed_agreement": "pseudo_mask_agreement",
    "seed_scores": "object_prior_scores",
    "seed_map": "pseudo_mask",
    "training_pictures": "training_images",  # in data.json
}
# Options that have moved.
_MOVED = {
    "seed_threshold": "object_prior = True, with config.object_prior.threshold,",
    "seed_low_level_weight": "config.object_prior.low_level_weight",
    "low_level_weight": "config.object_prior.low_level_weight",
}


def hint(name: Any) -> str:
    """Returns the sentence that ends the error about an unknown name, or "" if no earlier version had that name."""
    new = _NAMES.get(name) or _MOVED.get(name) if isinstance(name, str) else None
    return f" It is called {new} now." if new else ""


def current(settings: Any) -> Any:
    """Returns what a file of a run holds with today's names for options, plug-ins and tensors.

    Args:
      settings: what settings.json or data.json holds: dictionaries, lists and values. Names of classes stay.
    """
    if isinstance(settings, dict):
        return {
            _NAMES.get(key, key): value if key == "class_names" else current(value) for key, value in settings.items()
        }
    if isinstance(settings, list):
        return [current(value) for value in settings]
    return _NAMES.get(settings, settings) if isinstance(settings, str) else settings
