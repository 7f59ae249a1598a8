"""All options with their units and sources; `config_check` checks a whole configuration."""
from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from ornet_tf import data, renamed
from ornet_tf.errors import UserError


def phase(method: str, **fields: Any) -> ConfigDict:
    """Returns the options of one training phase: the paper's values, with `fields` replaced.

    Raises:
      UserError: for an unknown field.
    """
    options = ConfigDict(
        {
            "method": method,  # a plug-in of ornet_tf/methods
            "options": {},  # its options
            "generator": {},  # options of config.generator that differ in this phase
            "init_from": {},  # part of this phase -> "phase.part", whose weights it starts with
            "losses": {},  # term name -> loss()
            "epochs": 1.0,  # passes over the training split; fractions are allowed. 0 keeps the start weights
            "batch_size": 16,  # global, over all replicas (paper: 16 on CUB, 256 on ImageNet)
            "learning_rate": 1e-3,  # of Adam, at the start (paper: 1e-3, stage two 1e-4)
            "schedule": "cosine",  # "cosine" annealing to zero at the end of the phase, or "constant"
            "warmup_steps": 0,  # steps of linear increase of the rate at the start
            # The number of parts of a batch; their gradients are summed before the update. Saves memory.
            "gradient_accumulation": 1,
            # The compute precision. float16 uses loss scaling. Weights, maps, losses and boxes are always float32.
            "precision": "float32",  # or "bfloat16", "float16"
            "random_crop": True,  # False: the evaluation view
            # Whether the features of frozen parts are computed once and cached on the disk; not with random crops.
            "cache_frozen_features": False,
            "xla": False,  # XLA compiles the forward and backward pass; one device only; draws other random numbers
            # (regular expression, factor) pairs: the first that matches "part/layer/kind" scales the variable's rate.
            "rate_factors": (),
            "trainable": (),  # regular expressions for the "part/layer/kind" of trained variables; () for all
        }
    )
    return _replace(options, fields, f"phase {method}")


def loss(plugin: str, *inputs: str, weight: float = 1.0, ramp: float = 0.0, **options: Any) -> dict[str, Any]:
    """Returns one loss term.

    Args:
      plugin: a file of ornet_tf/losses.
      *inputs: names of the tensors that the loss takes: of the batch or of the method's outputs.
      weight: the factor of the term.
      ramp: the share of the phase's steps, 0..1, over which the weight grows linearly from 0. The paper has no ramp.
      **options: the options of the loss.
    """
    return {"plugin": plugin, "inputs": inputs, "weight": weight, "ramp": ramp, "options": options}


def default() -> ConfigDict:
    """Returns the configuration of the paper's method. An experiment adds its data set and changes options."""
    return ConfigDict(
        {
            "seed": 0,
            "dataset": {"name": "image_folder", "options": {}},
            "input": {
                "resize": 256,  # pixels, of both sides; the aspect ratio is not kept
                "crop": 224,  # pixels
                # What evaluation, prediction and exports see, and training without random crops: the "centre_crop" of
                # the resized image, or the "whole" image, resized to the size of the crop. The paper names no view.
                "evaluation_view": "centre_crop",
                "horizontal_flip": False,  # whether a half of the training images is mirrored; not in the paper
                # Where decoded, resized training images are cached: "memory", "disk", "none", or "auto": in memory if
                # they need at most a quarter of the free memory.
                "cache": "auto",
                "cache_dir": "",  # of "disk" and of cached features; "" for the folder `cache` in the workdir
                "broken_images": "stop",  # or "skip": leave them out and log a warning
            },
            "backbone": {"name": "vgg16", "options": {"split": "block2_pool", "weights": "imagenet", "head": "gap"}},
            "generator": {"base_width": 64, "depth": 3, "growth": 2.0, "logit_scale": 1.0},
            # For methods with the option `object_prior`, which learn from pseudo masks; see models/object_prior.py.
            "object_prior": {
                # On the scores, 0..1: the largest region above it, refined along edges, is the pseudo mask. 0 chooses
                # the threshold whose regions separate the colours of the training images best.
                "threshold": 0.0,
            },
            # The phases to train, in order: names of config.phase.
            "phase_order": ("evaluator", "stage_one", "stage_two"),
            "phase": {"evaluator": _evaluator(), "stage_one": _stage_one(), "stage_two": _stage_two()},
            "training": {
                "steps_per_loop": 20,  # steps in one tf.function call, and from one log entry to the next
                "checkpoint_every": 500,  # steps; also saved at the end of a phase and after SIGTERM or SIGINT
                "keep_checkpoints": 2,
                "summary_images": 8,  # number of fixed images shown in TensorBoard with maps and boxes; 0 for none
                "summary_every": 200,  # steps from one entry of these images and the histograms to the next
            },
            "evaluation": _evaluation(),
            "export": {
                "row": "stage_two",  # the row that predict and export use
                # On the map: "fixed" is evaluation.threshold; "chosen" is the threshold that the evaluation has chosen
                # for this row and box_rule on evaluation.threshold_split, by evaluation.threshold_boxes.
                "threshold": "fixed",
                # Where an export is fast: on a "cpu", a "gpu", or "auto": on the kind that the exporting machine has.
                # It runs on both. For CPUs it is larger: it holds kernels that are mapped by Winograd's filtering.
                "optimize_for": "auto",
                "max_boxes": 1,  # the most boxes of an image in an export; more than 1 need box_rule = "largest"
                "split_boxes": False,  # whether components are split where objects touch; needs box_rule = "largest"
                "min_box_score": 0.0,  # 0..1, see maps/box_scores.py; boxes with a lower score are left out
                "max_bytes": data.MAX_BYTES,  # of the largest image file that is read
                "max_pixels": data.MAX_PIXELS,  # height x width of the largest image that is decoded
            },
        }
    )


def _evaluation() -> ConfigDict:
    classifier = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
    return ConfigDict(
        {
            "split": "test",
            "threshold_split": "",  # each row's best threshold is found on this split; "" for none
            # The boxes of threshold_split that "chosen" thresholds fit: "ground_truth", or a row with an object prior,
            # such as "object_prior", for the boxes of its pseudo masks, which need no annotation.
            "threshold_boxes": "ground_truth",
            "batch_size": 64,
            "classifier": "evaluator",  # the row whose logits, for the whole image, give the class in every row
            "own_classes": (),  # except for these rows: their own logits give the class
            # The rows to report: names of config.phase and config.evaluation.row.
            "report_rows": ("centre_box", "mean_features", "cam", "stage_one", "stage_two"),
            # Rows that are not phases: methods without training, with parts of trained phases.
            "row": {
                "centre_box": row("centre_box"),
                "mean_features": row("mean_features", classifier),
                "cam": row("cam", classifier),
                "cam_true_label": row("cam", classifier, classes="label"),  # as in wsolevaluation
                "grad_cam": row("grad_cam", classifier),
                "bag_cams": row("bag_cams", classifier),
                "pc1": row("pc1", classifier),
                # Of a stage one with the option `object_prior`.
                "object_prior": row("object_prior_scores", {**classifier, "direction": "stage_one.direction"}),
            },
            "threshold": 0.5,  # on the activation map
            "iou_threshold": 0.5,
            "box_rule": "tight",  # around all pixels above the threshold (the authors'), or the "largest" component
            # Files of ornet_tf/metrics: "corloc" is this project's metric, "ornet" the authors' code's; "wsol_v1",
            # "wsol_v2" (need OpenCV) and "pxap" (needs masks) are those of wsolevaluation. "several_boxes" is for
            # images with several objects.
            "metrics": ("corloc",),
            "metric_options": {  # interval: the step of the grid of thresholds from 0 to below 1
                "corloc": {"frame": "view"},  # or "image": the ground truth is not clipped to the view
                "several_boxes": {"max_boxes": 5, "split": False, "frame": "view"},
                "wsol_v1": {"interval": 0.001},
                "wsol_v2": {"interval": 0.001},
                "pxap": {"interval": 0.001},
            },
            # Number of bootstrap samples of the images for 95 % intervals, seeded by config.seed; 0 for none.
            "bootstrap_samples": 1000,
            # Finds connected components: "native", "addons" (tensorflow-addons), or "auto": the addons if installed.
            "components": "auto",
            "gallery_images": 12,  # number of panels in images.png of the evaluation; 0 for none
            "cases": 10,  # number of each row's worst and best images in the list of cases; 0 for none
        }
    )


def _evaluator() -> ConfigDict:
    # It fine-tunes ImageNet weights; only its new layer has a higher learning rate. The paper names no schedule.
    schedule = {"epochs": 30.0, "learning_rate": 1e-4, "rate_factors": (("predictions", 10.0),)}
    return phase("evaluator", losses={"classification": loss("cross_entropy", "logits", "label")}, **schedule)


def _stage_one() -> ConfigDict:
    losses = {
        "classification": loss("cross_entropy", "logits", "label"),  # Eq. 5
        "auxiliary": loss("cross_entropy", "generator_logits", "label"),  # Eq. 6
    }
    return phase("stage_one", epochs=70.0, losses=losses)


def _stage_two() -> ConfigDict:
    return phase(
        "stage_two",
        options={"erasing": "attentive", "erasing_options": {}, "upsampling": "bilinear", "freeze_lower": False},
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
    """Returns an evaluation row: a method without training, with parts of trained phases ("phase.part")."""
    return ConfigDict({"method": method, "options": options, "generator": {}, "init_from": init_from or {}})


def _replace(options: ConfigDict, fields: dict[str, Any], where: str) -> ConfigDict:
    for key, value in fields.items():
        if key not in options:
            hint = renamed.hint(key, options)
            raise UserError(f"{where}.{key}: unknown field; choose from {', '.join(options)}.{hint}")
        options[key] = ConfigDict(value) if isinstance(value, dict) else value
    return options
