"""Names of earlier versions: errors name the new option, and runs of earlier versions can be resumed."""
from __future__ import annotations

from typing import Any

# Old names of options, sections and plug-ins -> their names now.
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
# A loss of configs/few_pictures.py; a "seed" elsewhere is that of random numbers.
_LOSSES = {"seed": "pseudo_mask"}
# Options that have moved.
_MOVED = {
    "seed_threshold": "object_prior = True, with config.object_prior.threshold,",
    "seed_low_level_weight": "config.object_prior.low_level_weight",
    "low_level_weight": "config.object_prior.low_level_weight",
}


def hint(name: Any) -> str:
    """Returns the last sentence of an error about an unknown name, or "" if no earlier version had the name."""
    new = _NAMES.get(name) or _MOVED.get(name) if isinstance(name, str) else None
    return f" It is called {new} now." if new else ""


def update_names(settings: Any) -> Any:
    """Returns the content of a run's JSON file with the current names of options, plug-ins and tensors.

    Args:
      settings: the content of settings.json or data.json: dictionaries, lists and values. Class names stay.
    """
    if isinstance(settings, dict):
        updated = {
            _NAMES.get(key, key): value if key == "class_names" else update_names(value)
            for key, value in settings.items()
        }
        if isinstance(updated.get("losses"), dict):
            updated["losses"] = {_LOSSES.get(key, key): value for key, value in updated["losses"].items()}
        return updated
    if isinstance(settings, list):
        return [update_names(value) for value in settings]
    return _NAMES.get(settings, settings) if isinstance(settings, str) else settings
