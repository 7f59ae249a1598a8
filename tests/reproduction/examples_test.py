import numpy as np
import pytest
import tensorflow as tf

from ornet_tf.data import loading
from ornet_tf.maps.boxes import find_boxes
from ornet_tf.reproduction import examples
from ornet_tf.reproduction.outcomes import Outcome, Run


@pytest.fixture(scope="module", name="outcomes")
def _outcomes(tiny_run):
    """Both stages of the tiny run; nothing is evaluated."""
    return [Outcome(row, (Run(*tiny_run, row, {"trained": {}}),)) for row in ("stage_one", "stage_two")]


@pytest.mark.slow
def test_an_example_has_image_truth_map_and_box_of_its_index(outcomes):
    config, source = outcomes[1].runs[0].config, outcomes[1].runs[0].source()
    first, second = examples.look_at(outcomes, [7, 2])
    assert (first.index, second.index) == (7, 2) and first.name == source.names[7]
    batch = next(iter(loading.evaluation_batches(config, source.select([2]))))
    np.testing.assert_array_equal(second.image, batch["image"][0].numpy().astype(np.uint8))
    np.testing.assert_array_equal(second.truth, batch["boxes"][0])
    methods = [outcome.runs[0].method() for outcome in outcomes]
    for activation_map, box, method in zip(second.maps, second.boxes, methods):
        expected = method.predict(batch["image"])["activation_map"][0].numpy()
        np.testing.assert_allclose(activation_map, expected, atol=1e-5)
        y, x = np.nonzero(activation_map[..., 0] > config.evaluation.threshold)
        side = len(activation_map)
        tight = [y.min(), x.min(), y.max() + 1, x.max() + 1] if len(y) else [0, 0, 0, 0]
        np.testing.assert_allclose(box, [np.divide(tight, side)], atol=1e-6)
    again, = examples.look_at(outcomes[1:], [2])
    np.testing.assert_array_equal(again.maps[0], second.maps[1])


@pytest.mark.slow
def test_an_example_of_refined_maps_has_the_map_before_and_the_box_after_refinement(outcomes):
    run = outcomes[1].runs[0]
    config = run.config.copy_and_resolve_references()
    config.phase.stage_two.options.refine = True
    config.evaluation.threshold = 0.4
    refined = run._replace(config=config, result={"trained": {"stage_two": "refined"}})
    before, = examples.look_at(outcomes[1:], [2])
    after, = examples.look_at([Outcome("refined", (refined,))], [2])
    np.testing.assert_array_equal(after.maps[0], before.maps[0])
    image = tf.constant(before.image[np.newaxis], tf.float32)
    expected = find_boxes(refined.method().predict(image)["activation_map"], tf.constant([0.4]), rule="tight")
    np.testing.assert_allclose(after.boxes[0], expected[0], atol=1e-6)


@pytest.mark.slow
def test_images_are_spread_from_the_first_to_the_last(outcomes):
    assert examples.evenly(outcomes[0], 3) == [0, 8, 17]
    assert examples.evenly(outcomes[0], 100) == list(range(18))
    assert examples.evenly(outcomes[0], 0) == []


@pytest.mark.slow
def test_the_noisiest_surroundings_of_a_split_are_chosen(outcomes):
    run = outcomes[0].runs[0]
    strengths = []
    for batch in loading.evaluation_batches(run.config, run.source()):
        for image, boxes in zip(batch["image"].numpy().mean(axis=-1), batch["boxes"].numpy()):
            outside = np.ones(image.shape, bool)
            for top, left, bottom, right in boxes * len(image):
                if bottom > top:
                    outside[int(top + 1e-4) : int(np.ceil(bottom - 1e-4)), int(left) : int(np.ceil(right))] = False
            down, across = (np.abs(np.diff(image, axis=axis)) for axis in (0, 1))
            steps = [*down[outside[1:] & outside[:-1]], *across[outside[:, 1:] & outside[:, :-1]]]
            strengths.append(np.mean(steps))
    assert examples.noisiest(outcomes[0], 4) == sorted(np.argsort(strengths)[-4:])


def test_edges_are_counted_outside_of_boxes_only():
    noise = np.random.default_rng(0).uniform(0, 255, [16, 16, 3])
    inside, outside = np.full([16, 16, 3], 90.0), noise.copy()
    inside[4:12, 4:12] = noise[4:12, 4:12]
    outside[4:12, 4:12] = 90.0
    box = [[0.25, 0.25, 0.75, 0.75], [0, 0, 0, 0]]
    quiet, loud = examples.edges_outside(np.stack([inside, outside]), np.array([box, box]))
    assert quiet == 0 and loud > 30
    ramp = np.repeat(np.arange(16.0)[:, np.newaxis], 16, axis=1)[..., np.newaxis] * [3.0, 3.0, 3.0]
    step, = examples.edges_outside(ramp[np.newaxis], np.array([box]))
    assert step == pytest.approx(1.5, abs=0.1)  # 3 downwards, 0 to the right


def test_images_without_box_or_surroundings_are_not_measured():
    images = tf.random.stateless_uniform([3, 8, 8, 3], [1, 2], 0.0, 255.0).numpy()
    boxes = np.array([[[0, 0, 0, 0]], [[0, 0, 1, 0.9]], [[0, 0, 1, 0.5]]])
    assert np.isnan(examples.edges_outside(images, boxes)).tolist() == [True, True, False]
