"""The rivals of ORNet beside it on toybirds: the paper's Tables 1 and 2 in form, on two CPU cores.

  python -m ornet_tf.train --config=configs/rivals_toybirds.py --workdir=runs/rivals_toybirds
  python -m ornet_tf.evaluate --config=configs/rivals_toybirds.py --workdir=runs/rivals_toybirds

To configs/toybirds.py, which trains evaluator, stage one and stage two, this adds the classifiers of Hide-and-Seek, ADL
and ACoL with the evaluator's schedule, and Grad-CAM. CAM and Grad-CAM read the evaluator. The rivals' rows have the
class errors of their own classifiers, as in the paper, the others those of the evaluator.

6 minutes more than configs/toybirds.py on 2 cores of an Intel Xeon that had other work as well. Seed 0, 1,000 test
images, CorLoc at 0.5 and best, largest component: CAM 11.5, 23.5; Grad-CAM 11.5, 22.7; Hide-and-Seek 9.9, 22.9; ADL
7.7, 18.0; ACoL 7.4, 11.9; stage two 62.2, 62.7.
"""
from ml_collections import ConfigDict

from configs import toybirds
from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = toybirds.get_config()
    classification = ornet.loss("cross_entropy", "logits", "label")
    schedule = {"batch_size": 32, "epochs": 4.0, "learning_rate": 2e-3}
    # The paper's patches of 16, 32, 44 and 56 in 224 pixels, in 64.
    patches = {"patch_sizes": (0, 4, 8, 12, 16)}
    rivals = {
        "hide_and_seek": {"options": patches, "losses": {"classification": classification}},
        "adl": {"losses": {"classification": classification}},
        "acol": {
            "options": {"width": 64},  # of the last feature map; the paper's 1024 are for 512 channels
            "losses": {
                "classification": classification,
                "erased": ornet.loss("cross_entropy", "erased_logits", "label"),
            },
        },
    }
    return with_rivals(config, {name: {**schedule, **fields} for name, fields in rivals.items()})


def with_rivals(config: ConfigDict, rivals: dict[str, dict]) -> ConfigDict:
    """Adds Grad-CAM, and a phase and a row for each rival, by the name of its method -> fields of the phase."""
    for name, fields in rivals.items():
        config.phase[name] = ornet.phase(name, **fields)
    config.phases = ("evaluator", *rivals, "stage_one", "stage_two")
    evaluator = {"lower": "evaluator.lower", "upper": "evaluator.upper"}
    config.evaluation.row.grad_cam = ornet.row("grad_cam", evaluator)
    config.evaluation.rows = ("centre_box", "mean_features", "cam", "grad_cam", *rivals, "stage_one", "stage_two")
    config.evaluation.own_classes = tuple(rivals)
    return config
