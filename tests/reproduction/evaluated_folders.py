"""Folders as an evaluation leaves them, for tests of tables and charts: nothing is trained."""
import json

from ml_collections import ConfigDict

from ornet_tf.reproduction.outcomes import BINS, Outcome, Run
from tests import tiny_experiment


def outcome(label, tmp_path, rights, boxes=None, row="r", **figures):
    """An outcome with a seed for each list of right boxes, as an evaluation of the row leaves it.

    Args:
      label: of the outcome.
      tmp_path: the folder of all outcomes.
      rights: for each seed 1 or 0 for each image.
      boxes: (coverage, precision) of each image's box.
      row: the name of the row.
      **figures: further figures of each seed.
    """
    runs = []
    for seed, right in enumerate(rights):
        workdir = tmp_path / label / str(seed)
        (workdir / "evaluation").mkdir(parents=True)
        shares = boxes or [(0.3, 0.9)] * len(right)
        lines = [f"p{i},{r},{c},{p}" for i, (r, (c, p)) in enumerate(zip(right, shares))]
        text = "\n".join([f"name,right_{row},coverage_{row},precision_{row}", *lines, ""])
        (workdir / "evaluation" / "per_image.csv").write_text(text)
        made_of = [{}, "test", len(right), BINS, "unrefined"]
        histogram = {"made_of": made_of, "counts": [3] + [0] * (BINS - 2) + [1]}
        (workdir / "evaluation" / f"histogram_{row}.json").write_text(json.dumps(histogram))
        corloc = 100 * sum(right) / len(right)
        summary = {
            "corloc": corloc, "corloc_interval": [corloc - 5, corloc + 5], "corloc_by_threshold": [corloc, 0.0],
            "thresholds": [0.5, 0.9], "threshold": 0.5, "images": len(right), "images_with_boxes": len(right),
            "images_out_of_view": 0, **figures,
        }
        result = {
            "metrics": {"p": ["t"]}, "box_rule": "t", "rows": {row: {"t": summary}}, "bootstrap_samples": 100,
            "trained": {}, "split": "test", "images": len(right), "threshold": 0.5, "iou_threshold": 0.5,
        }
        config = ConfigDict({"seed": seed, "evaluation": {"gallery_images": 0}})
        runs.append(Run(config, str(workdir), row, result))
    return Outcome(label, tuple(runs))


def config():
    """The configuration of the tiny experiment, without galleries."""
    tiny = tiny_experiment.get_config()
    tiny.evaluation.gallery_images = 0
    return tiny
