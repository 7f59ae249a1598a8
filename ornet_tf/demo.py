"""The whole main job by one command: train, evaluate, export, serve, ask over REST, and say where everything is.

  python -m ornet_tf.demo --config=configs/toybirds.py --workdir=runs/demo

What is there already is not done again.
"""
from __future__ import annotations

import json
import os
import time
from typing import Any

import numpy as np
from absl import logging
from ml_collections import ConfigDict
from PIL import Image

from ornet_tf import app, assemble, checkpoints, evaluate, export, registry, visualize
from ornet_tf.train import train
from serving import client, local_server


def main(config: ConfigDict, workdir: str) -> None:
    """Runs every part that is not done yet and logs the results."""
    started = time.time()
    evaluation = os.path.join(workdir, "evaluation")
    answer_path = os.path.join(workdir, "rest", "answer.json")
    train(config, workdir)
    result = _read(os.path.join(evaluation, "result.json")) or evaluate.evaluate(config, workdir)
    base = os.path.join(workdir, "export")
    if not export.versions(base):
        export.export(config, workdir)
    answer = _read(answer_path) or ask(config, base, os.path.dirname(answer_path))
    logging.info("%s", evaluate.table(result))
    logging.info("The server's answer to a held-out picture: %s", json.dumps(answer))
    logging.info(
        "Done in %.0f s. Look at:\n  %s  the table\n  %s  picture, map, box (red) and ground truth (green)\n"
        "  %s  the answer over REST\n  %s  the SavedModel\n  tensorboard --logdir=%s",
        time.time() - started,
        os.path.join(evaluation, "table.md"),
        os.path.join(evaluation, "pictures.png"),
        os.path.join(workdir, "rest", "answer.png"),
        base,
        workdir,
    )


def ask(config: ConfigDict, base: str, folder: str) -> dict[str, Any]:
    """Serves the export, sends the first picture of the evaluated split over REST and stores picture and answer."""
    source = registry.find("datasets", config.dataset.name)(
        config.evaluation.split, **config.dataset.options.to_dict()
    ).select([0])
    os.makedirs(folder, exist_ok=True)
    picture = source.images[0]
    if isinstance(picture, bytes):
        picture = os.path.join(folder, "held_out.png")
        with open(picture, "wb") as file:
            file.write(source.images[0])
    with local_server.running(base, "ornet") as url:
        answer = client.localize(url, [picture])[0]
    batch = next(iter(assemble.evaluation_batches(config, source)))
    logging.info("Ground truth in the evaluation view: %s", batch["boxes"][0].numpy().round(3).tolist())
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    Image.fromarray(visualize.draw_boxes(pixels, np.asarray([answer["box"]]))).save(os.path.join(folder, "answer.png"))
    checkpoints.write_json(os.path.join(folder, "answer.json"), answer)
    return answer


def _read(path: str) -> Any:
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    app.run(main)
