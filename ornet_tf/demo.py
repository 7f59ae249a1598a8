"""Runs the whole workflow: trains, evaluates, exports, serves, sends an image over REST and lists the results.

  python -m ornet_tf.demo --config=configs/toybirds.py --workdir=runs/demo

The same command again repeats nothing that is finished.
"""
from __future__ import annotations

import json
import os
import time
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from ornet_tf import app, atomic_write
from ornet_tf.runs import interruption, run_folder


def main(config: ConfigDict, workdir: str) -> None:
    """Runs every step that is not finished yet and logs the results."""
    from ornet_tf.evaluation import report  # late, as importing TensorFlow takes seconds
    from ornet_tf.training.phases import train

    started = time.time()
    train(config, workdir)
    result, answer = _evaluate_and_ask(config, workdir)
    logging.info("%s\nThe server's answer for a held-out image: %s", report.table(result), json.dumps(answer))
    logging.info(
        "Done in %.0f s. Results:\n  %s  the table\n  %s  image, map, box (green) and ground truth (blue)\n"
        "  %s  the answer over REST\n  %s  the SavedModel\n  tensorboard --logdir=%s",
        time.time() - started,
        os.path.join(workdir, "evaluation", "table.md"),
        os.path.join(workdir, "evaluation", "images.png"),
        os.path.join(workdir, "rest", "answer.png"),
        os.path.join(workdir, "export"),
        workdir,
    )


def _evaluate_and_ask(config: ConfigDict, workdir: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the evaluation result and the server's answer; reuses those of the same phases and options."""
    from ornet_tf.evaluation import measurement
    from ornet_tf.inference import saved_model

    path = os.path.join(workdir, "demo.json")
    made_of = {
        "phases": {name: run_folder.run_id(workdir, name) for name in config.phase_order},
        "evaluation": json.loads(config.evaluation.to_json()),
        "export": json.loads(config.export.to_json()),
    }
    if os.path.exists(path):
        stored = run_folder.read_json(path, {"made_of": dict, "result": dict, "answer": dict})
        if stored["made_of"] == made_of:
            return stored["result"], stored["answer"]
    result = measurement.evaluate(config, workdir)
    answer = ask(config, os.path.dirname(saved_model.export(config, workdir)), os.path.join(workdir, "rest"))
    run_folder.write_json(path, {"made_of": made_of, "result": result, "answer": answer})
    return result, answer


def ask(config: ConfigDict, base: str, folder: str) -> dict[str, Any]:
    """Serves the newest export below `base`, sends a held-out image over REST, and draws the answer into `folder`.

    Returns:
      The answer: file, box [ymin, xmin, ymax, xmax] in fractions of the upright image, score, class and class_name.
      If no object was found, box is None and the later entries are missing.
    """
    from ornet_tf.data import loading, source
    from ornet_tf.inference import encoding, overlay
    from serving import client, local_server

    image = loading.load_source(config, config.evaluation.split).select([0]).images[0]
    with atomic_write.explain_failures(f"{folder} could not be created"):
        os.makedirs(folder, exist_ok=True)
    if not isinstance(image, str):
        encoded, image = source.read_encoded(image), os.path.join(folder, "held_out.png")
        with atomic_write.open_file(image) as file:
            file.write(encoded)
    with local_server.running(base, "ornet") as url:
        detections = client.localize(url, [image])[0]
    answer = {"file": str(image), **detections.as_dict()}
    overlay.annotate(overlay.read(encoding.encode(image)).image, detections).save(os.path.join(folder, "answer.png"))
    run_folder.write_json(os.path.join(folder, "answer.json"), answer)
    return answer


if __name__ == "__main__":
    app.run(main, options={"workdir": app.WORKDIR}, when_ended=interruption.RESUMES)
