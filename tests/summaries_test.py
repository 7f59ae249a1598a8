import json

import numpy as np
import tensorflow as tf

from ornet_tf.summaries import PhaseSummaries, observations


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


def test_observations_of_replicas_add_up_to_the_mean():
    logits = tf.constant([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0], [5.0, 1.0]])
    maps = tf.constant([[0.0, 1.0], [0.5, 0.5], [0.3, 0.9], [0.1, 0.1]])[:, :, tf.newaxis, tf.newaxis]
    outputs = {"label": tf.constant([1, 1, 1, 0]), "logits": logits, "activation_map": maps}
    halves = [observations({k: v[part] for k, v in outputs.items()}, 4) for part in (slice(0, 1), slice(1, 4))]
    total = {name: float(halves[0][name] + halves[1][name]) for name in halves[0]}
    np.testing.assert_allclose(total["accuracy/logits"], 0.75)
    np.testing.assert_allclose(total["map/mean"], 0.425, atol=1e-6)
    np.testing.assert_allclose(total["map/standard_deviation"], (0.5 + 0.0 + 0.3 + 0.0) / 4, atol=1e-6)
    np.testing.assert_allclose(total["map/share_on"], (0.5 + 0.0 + 0.5 + 0.0) / 4)
    np.testing.assert_allclose(total["map/share_grey"], (0.0 + 1.0 + 0.5 + 0.0) / 4)
