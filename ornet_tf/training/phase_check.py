"""Checks all phases and evaluation rows before the first phase is trained."""
from __future__ import annotations

from ml_collections import ConfigDict

from ornet_tf import build, methods
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError
from ornet_tf.runs import checkpoints, weight_origins
from ornet_tf.training import class_order, frozen_features, one_class


def check(config: ConfigDict, source: Source) -> None:
    """Builds every phase and row once, so that an error in the last one is reported before training starts.

    Args:
      config: the whole configuration.
      source: the training images.

    Raises:
      UserError: if an option, a part or a regular expression does not fit, or a part has no weights.
    """
    one_class.check(config, source.class_names)
    num_classes = len(source.class_names)
    pretrained = build.pretrained_layers(config, num_classes)
    origins = weight_origins.WeightOrigins(pretrained, one_class=num_classes == 1)
    config = build.drop_start_weights(config)
    for name, method, trained in build.phase_methods(config, num_classes):
        section, where = config.phase[name], f"config.phase.{name}"
        if section.epochs and section.batch_size > len(source):
            raise UserError(
                f"{where}.batch_size: expected at most the {len(source)} training images, got {section.batch_size}."
            )
        if section.cache_frozen_features:
            frozen_features.check_method(method, where=f"{where}.")
        elif methods.object_prior(method) is not None:
            raise UserError(
                f"{where}.options.object_prior: expected cache_frozen_features = True, got False. Pseudo masks are "
                f"computed once, from cached features: set {where}.cache_frozen_features and random_crop = False."
            )
        origins.add_phase(name, method, section.init_from, trained, where=where)
    if phase := origins.phase_with_pretrained_outputs():
        class_order.check(phase, source)
    evaluation = config.evaluation
    used = (*evaluation.report_rows, evaluation.classifier, evaluation.threshold_boxes, config.export.row)
    for name in dict.fromkeys(used):
        row = evaluation.row.get(name)
        # A study may train only some of the experiment's phases; rows of other phases are not checked.
        if row is not None and {*checkpoints.source_phases(row.init_from)} <= {*config.phase_order}:
            method = build.build_method(config, row, num_classes)
            origins.check_row(method, row.init_from, where=f"config.evaluation.row.{name}")
        elif row is None and name in config.phase_order:
            origins.check_phase_as_row(name, where=f"config.evaluation, the row {name}")
