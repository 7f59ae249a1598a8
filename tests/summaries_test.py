import json

import numpy as np
import tensorflow as tf

from ornet_tf.summaries import PhaseSummaries


def events(folder):
    for path in sorted((folder / "tensorboard").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                yield event.step, value


def test_scalars_go_to_tensorboard_and_to_json_lines(tmp_path):
    with PhaseSummaries(str(tmp_path), {"seed": 5}) as summaries:
        summaries.scalars(10, {"loss": 1.5, "loss/area": 0.25})
        summaries.scalars(20, {"loss": 1.0, "loss/area": 0.5})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": 10, "loss": 1.5, "loss/area": 0.25}, {"step": 20, "loss": 1.0, "loss/area": 0.5}]
    seen = {(step, v.tag): tf.make_ndarray(v.tensor).item() for step, v in events(tmp_path) if v.tag.startswith("loss")}
    assert seen == {(10, "loss"): 1.5, (10, "loss/area"): 0.25, (20, "loss"): 1.0, (20, "loss/area"): 0.5}


def test_the_settings_are_kept_as_text(tmp_path):
    with PhaseSummaries(str(tmp_path), {"seed": 5}):
        pass
    text, = (tf.make_ndarray(v.tensor).item().decode() for _, v in events(tmp_path) if v.tag == "settings")
    assert json.loads(text) == {"seed": 5}


def test_maps_are_laid_over_their_pictures(tmp_path):
    images = np.zeros((2, 8, 8, 3), np.float32)
    maps = np.zeros((2, 4, 4, 1), np.float32)
    maps[1] = 1.0
    with PhaseSummaries(str(tmp_path), {}) as summaries:
        summaries.maps(7, images, {"activation_map": maps})
    values = {v.tag: v for step, v in events(tmp_path) if step == 7}
    encoded = tf.make_ndarray(values["activation_map"].tensor)[2:]  # after width and height
    off, on = (tf.io.decode_png(png).numpy() for png in encoded)
    assert off.shape == on.shape == (8, 8, 3)
    assert on.mean() > off.mean()
    assert "activation_map_values" in values
