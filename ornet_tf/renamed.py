"""Names of earlier versions: errors name the new option, and runs of earlier versions can be resumed."""
from __future__ import annotations

from collections.abc import Container
from typing import Any

# Old names of options, plug-ins and tensors -> their names now.
NAMES = {
    "phases": "phase_order",
    "rows": "report_rows",
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
    "seed": "pseudo_mask",
}
# Options that have moved to the section object_prior.
MOVED = {
    "seed_threshold": "object_prior = True and config.object_prior.threshold",
}
# Studies whose name meant something else -> what is called so now, and where the old study is.
STUDIES = {
    "fig6": "fig6 has maps without and with the entropy loss; those of CAM and of both stages are fig2 and fig3 now.",
    "fig7": "fig7 illustrates the erasing strategies; training with each is erasing_strategies now.",
    "fig11a": "fig11a has both alpha and beta; before it had alpha, and fig11b beta.",
    "fig11b": "fig11b has CorLoc against the threshold; the weight beta is in fig11a now.",
}


def hint(name: Any, known: Container[str]) -> str:
    """Returns the last sentence of an error about an unknown name, or "" if it is not an old name.

    Args:
      name: the unknown name.
      known: the names that are allowed in its place.
    """
    if not isinstance(name, str):
        return ""
    if name in MOVED:
        return f" Set {MOVED[name]} instead."
    return f" It is called {NAMES[name]} now." if NAMES.get(name) in known else ""


def value_hint(name: str, value: Any) -> str:
    """Returns the last sentence of an error about a value that an option took in earlier versions, or ""."""
    if name == "candidate_threshold" and isinstance(value, (list, tuple)):
        return " A range, relative to the peak, is the option candidate_depth now."
    return ""


def update_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the content of a phase's settings.json with the current names and options.

    Names that users choose are not changed. An option that the version did not have gets the value it would have had.

    Runs with an object prior of versions before the section `object_prior` can't be resumed.
    """
    settings = dict(settings)
    if isinstance(settings.get("input"), dict):
        settings["input"] = {"evaluation_view": "centre_crop", **settings["input"]}
    if isinstance(settings.get("generator"), dict):
        settings["generator"] = _rename_keys(settings["generator"], "map_gain")
    if not isinstance(settings.get("phase"), dict):
        return settings
    phase = _rename_keys(settings["phase"], "accumulate", "reuse_frozen")
    if isinstance(phase.get("generator"), dict):
        phase["generator"] = _rename_keys(phase["generator"], "map_gain")
    phase["method"] = NAMES.get(phase.get("method"), phase.get("method"))
    if phase["method"] == "stage_two" and isinstance(phase.get("options"), dict):
        phase["options"] = _update_stage_two(phase["options"])
    if isinstance(phase.get("losses"), dict):
        phase["losses"] = {
            name: _update_loss(fields) for name, fields in _rename_keys(phase["losses"], "seed").items()
        }
    return {**settings, "phase": phase}


def _update_stage_two(options: dict[str, Any]) -> dict[str, Any]:
    """Versions before the option `freeze_lower` froze the low layers, and drew the erasing threshold at random."""
    if "freeze_lower" in options:
        return options
    erasing = options.get("erasing", "attentive")
    defaults = {"attentive": (0.0, 0.5), "above_threshold": (0.0, 0.5), "restricted_rectangle": (1.0, 1.0)}
    erasing_options = dict(options.get("erasing_options") or {})
    if erasing in defaults:
        erasing_options["candidate_depth"] = list(erasing_options.pop("candidate_threshold", defaults[erasing]))
    return {**options, "freeze_lower": True, "erasing_options": erasing_options}


def _update_loss(fields: dict[str, Any]) -> dict[str, Any]:
    inputs = [NAMES.get(name, name) for name in fields["inputs"]]
    return {**fields, "plugin": NAMES.get(fields["plugin"], fields["plugin"]), "inputs": inputs}


def update_data(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the content of a run's data.json with the current names."""
    return {"training_images" if key == "training_pictures" else key: value for key, value in data.items()}


def _rename_keys(section: dict[str, Any], *old: str) -> dict[str, Any]:
    return {NAMES[key] if key in old else key: value for key, value in section.items()}
