"""Every option once, with its unit and source; `config_check` checks a whole configuration."""
from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from ornet_tf import renamed
from ornet_tf.data import file_checks
from ornet_tf.errors import UserError


def phase(method: str, **fields: Any) -> ConfigDict:
    """Returns the options of one training phase with the paper's values; `fields` replace them.

    Raises:
      UserError: for a field that is not there.
    """
    options = ConfigDict(
        {
            "method": method,  # a plug-in of ornet_tf/methods
            "options": {},  # its options
            "generator": {},  # options of the generator that differ in this phase
            "init_from": {},  # part of this phase -> "phase.part" whose weights it starts from
            "losses": {},  # name of the term -> loss()
            "epochs": 1.0,  # passes over the training split; fractions are allowed
            "batch_size": 16,  # global, over all replicas (paper: 16 on CUB, 256 on ImageNet)
            "learning_rate": 1e-3,  # of Adam, at the start (paper: 1e-3, stage two 1e-4)
            "schedule": "cosine",  # "cosine" to zero at the end of the phase (paper), or "constant"
            "warmup_steps": 0,  # linear increase of the rate at the start
            # Parts that a batch is split into; their gradients are added up before the update. Saves memory.
            "gradient_accumulation": 1,
            # What layers compute in; float16 with loss scaling. Weights, the map, losses and boxes are float32 always.
            "precision": "float32",  # or "bfloat16", "float16"
            "random_crop": True,  # whether crops lie anywhere in the resized image, or in its centre
            # Whether outputs of frozen parts are computed once and kept in memory; where crops are not random.
            "cache_frozen_features": False,
            "xla": False,  # whether XLA compiles forward and backward pass; for one device; draws other random numbers
            # (regular expression, factor) pairs: the first found in a variable's "part/layer/kind" scales its rate.
            "rate_factors": (),
            "trainable": (),  # regular expressions: what has one in its "part/layer/kind" is trained; () for all
        }
    )
    return _replace(options, fields, f"phase {method}")


def loss(plugin: str, *inputs: str, weight: float = 1.0, ramp: float = 0.0, **options: Any) -> dict[str, Any]:
    """Returns one loss term.

    Args:
      plugin: a file of ornet_tf/losses.
      *inputs: the tensors that it gets, by name, of the batch and of what the method computes.
      weight: the factor of the term.
      ramp: share of the phase's steps, 0..1, in which the weight grows linearly from 0; the paper has 0.
      **options: of the loss.
    """
    return {"plugin": plugin, "inputs": inputs, "weight": weight, "ramp": ramp, "options": options}


def default() -> ConfigDict:
    """Returns the configuration of the paper's method without a data set: an experiment fills in the rest."""
    return ConfigDict(
        {
            "seed": 0,
            "dataset": {"name": "image_folder", "options": {}},
            "input": {
                "resize": 256,  # pixels; both sides, the aspect is not kept
                "crop": 224,  # pixels; centred in evaluation
                "horizontal_flip": True,
                # Where decoded, resized training images are kept: "memory", "disk", "none", or "auto": in memory
                # where they need a quarter of what is free at most.
                "cache": "auto",
                "cache_dir": "",  # for "disk"; "" for the folder `cache` in the workdir
                "broken_images": "stop",  # or "skip": leave them out with a warning
            },
            "backbone": {"name": "vgg16", "options": {"split": "block2_pool", "weights": "imagenet", "head": "gap"}},
            "generator": {"base_width": 64, "depth": 3, "growth": 2.0, "logit_scale": 1.0},
            # For methods with the option `object_prior`; see ornet_tf/models/object_prior.py.
            "object_prior": {
                "threshold": 0.3,  # on the scores, 0..1; the pseudo mask is their largest region above it
                "low_level_weight": 0.5,  # weight of the low-level features in the scores; the last features have 1
            },
            "phases": ("evaluator", "stage_one", "stage_two"),
            "phase": {"evaluator": _evaluator(), "stage_one": _stage_one(), "stage_two": _stage_two()},
            "training": {
                "steps_per_loop": 20,  # steps inside one tf.function call: progress and logs come this often
                "checkpoint_every": 500,  # steps; also at the end of every phase and on SIGTERM and SIGINT
                "keep_checkpoints": 2,
                "summary_images": 8,  # fixed images that TensorBoard shows with maps and boxes; 0 for none
                "summary_every": 200,  # steps between these images and the histograms
            },
            "evaluation": _evaluation(),
            "export": {
                "row": "stage_two",  # that predict and export use
                # On the map: "fixed" for evaluation.threshold, or "chosen" for the one that evaluation has chosen for
                # this row and box_rule on evaluation.threshold_split.
                "threshold": "fixed",
                "max_boxes": 1,  # most boxes of an image in an export; more than one need box_rule = "largest"
                "max_bytes": file_checks.MAX_BYTES,  # the largest file that is read
                "max_pixels": file_checks.MAX_PIXELS,  # the largest height x width that is decoded
            },
        }
    )


def _evaluation() -> ConfigDict:
    return ConfigDict(
        {
            "split": "test",
            "threshold_split": "",  # also choose each row's threshold on this split ("" for none)
            "batch_size": 64,
            "classifier": "evaluator",  # the row whose logits are the class of every row, on the whole image
            "own_classes": (),  # but for these rows: classifiers themselves, they are measured by their own logits
            "rows": ("centre_box", "mean_features", "cam", "stage_one", "stage_two"),
            # Rows that are no phase: methods without training, on parts of phases.
            "row": {
                "centre_box": row("centre_box"),
                "mean_features": row("mean_features", {"lower": "evaluator.lower", "upper": "evaluator.upper"}),
                "cam": row("cam", {"lower": "evaluator.lower", "upper": "evaluator.upper"}),
                "cam_true_label": row(  # as wsolevaluation reads it
                    "cam", {"lower": "evaluator.lower", "upper": "evaluator.upper"}, classes="label"
                ),
            },
            "threshold": 0.5,  # on the activation map
            "iou_threshold": 0.5,
            "box_rule": "tight",  # of all pixels above the threshold (the authors' rule), or "largest" component
            # The metric conventions to report: files of ornet_tf/metrics. "corloc" is this project's, "ornet" the
            # authors' code's; "wsol_v1", "wsol_v2" (need OpenCV) and "pxap" (needs masks) are those of wsolevaluation.
            "metrics": ("corloc",),
            "metric_options": {  # of those that have some; the grid of thresholds from 0 to below 1
                "wsol_v1": {"interval": 0.001},
                "wsol_v2": {"interval": 0.001},
                "pxap": {"interval": 0.001},
            },
            # 95 % intervals by so many draws of the images with replacement, seeded by config.seed; 0 for none.
            "bootstrap_samples": 1000,
            # What finds components: "native", "addons" (tensorflow-addons), or "auto": the addons where they are.
            "components": "auto",
            "gallery_images": 12,  # panels that evaluation draws; 0 for none
            "cases": 10,  # how many of each row's worst and best images are listed; 0 for none
        }
    )


def _evaluator() -> ConfigDict:
    return phase("evaluator", epochs=30.0, losses={"classification": loss("cross_entropy", "logits", "label")})


def _stage_one() -> ConfigDict:
    losses = {
        "classification": loss("cross_entropy", "logits", "label"),  # Eq. 5
        "auxiliary": loss("cross_entropy", "generator_logits", "label"),  # Eq. 6
    }
    return phase("stage_one", epochs=70.0, losses=losses)


def _stage_two() -> ConfigDict:
    return phase(
        "stage_two",
        options={"erasing": "attentive", "erasing_options": {}, "upsampling": "bilinear"},
        epochs=30.0,
        learning_rate=1e-4,
        init_from={
            "lower": "stage_one.lower",
            "generator": "stage_one.generator",
            "evaluator_lower": "evaluator.lower",
            "evaluator_upper": "evaluator.upper",
        },
        losses={  # Eq. 10
            "evaluation": loss("cross_entropy", "evaluator_logits", "label"),
            "entropy": loss("weighted_entropy", "activation_map", weight=1.5, mu=0.5, sigma=0.1),
            "area": loss("area", "activation_map", weight=0.02),
        },
    )


def row(method: str, init_from: dict[str, str] | None = None, **options: Any) -> ConfigDict:
    """Returns an evaluation row: a method without training, on parts of trained phases ("phase.part")."""
    return ConfigDict({"method": method, "options": options, "generator": {}, "init_from": init_from or {}})


def _replace(options: ConfigDict, fields: dict[str, Any], where: str) -> ConfigDict:
    for key, value in fields.items():
        if key not in options:
            raise UserError(f"{where}.{key}: unknown field; choose from {', '.join(options)}.{renamed.hint(key)}")
        options[key] = ConfigDict(value) if isinstance(value, dict) else value
    return options
