"""The experiments that compare ORNet with rival methods: one run trains all, one table compares them."""
import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf

from configs import rivals_cub10, rivals_toybirds
from ornet_tf import build, config_check, registry
from ornet_tf import config as ornet
from ornet_tf.data import loading
from ornet_tf.evaluation import measurement, report
from ornet_tf.inference import localizer
from ornet_tf.models import variables
from ornet_tf.runs import checkpoints
from ornet_tf.training import phase_check
from ornet_tf.training.phases import train
from tests import tiny_methods, tiny_rivals

RIVALS = ("hide_and_seek", "adl", "acol")
ROWS = ("centre_box", "mean_features", "cam", "grad_cam", "bag_cams", "pc1", *RIVALS, "stage_one", "stage_two")


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory):
    config, workdir = tiny_rivals.get_config(), str(tmp_path_factory.mktemp("tiny_rivals"))
    config_check.validate(config)
    train(config, workdir)
    return config, workdir


@pytest.fixture(scope="module", name="result")
def _result(run):
    return measurement.evaluate(*run)


@pytest.fixture(scope="module", name="saved")
def _saved(run, tmp_path_factory):
    """A function that returns a localizer of a row and the folder of its SavedModel."""

    @functools.cache
    def save(name):
        config, folder = run[0].copy_and_resolve_references(), tmp_path_factory.mktemp(name)
        config.export.row = name
        model = localizer.load(config, run[1])
        tiny_methods.save_localize(model, folder)
        return model, str(folder)

    return save


@pytest.mark.slow
def test_one_table_compares_all_methods(result):
    assert tuple(result["rows"]) == ROWS
    for head, *lines in [part.split("\n") for part in report.table(result).split("\n| row | ")[1:]]:
        assert {"LocErr top-1", "ClsErr top-1", "ClsErr top-5"} <= {cell.strip() for cell in head.split("|")}
        names = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
        assert names == list(ROWS)


def class_error(run, name):
    """Returns the percentage of test images that a method's own logits classify wrongly."""
    config, workdir = run
    method, source = build.trained_method(config, name, workdir, 3), loading.load_split(config, "test")
    batches = list(loading.evaluation_batches(config, source))
    misses = [tf.argmax(method.predict(b["image"])["logits"], axis=1).numpy() != b["label"].numpy() for b in batches]
    return 100 * np.concatenate(misses).mean()


@pytest.mark.slow
def test_rivals_are_classified_by_their_own_logits_and_other_rows_by_the_evaluator(run, result):
    errors = {name: class_error(run, name) for name in ("evaluator", *RIVALS)}
    for name in ROWS:
        expected = errors.get(name, errors["evaluator"])
        assert result["rows"][name]["ornet"]["clserr_top1"] == pytest.approx(expected), name
        assert result["rows"][name]["ornet"]["locerr_top1"] >= result["rows"][name]["ornet"]["clserr_top1"]


@pytest.mark.slow
def test_own_classes_of_a_row_without_logits_are_refused(run):
    config = run[0].copy_and_resolve_references()
    config.evaluation.update({"report_rows": ("centre_box",), "own_classes": ("centre_box",)})
    with pytest.raises(ValueError, match="config.evaluation.* centre_box"):
        measurement.evaluate(config, run[1])
    config.evaluation.own_classes = ("nobody",)
    with pytest.raises(ValueError, match="config.evaluation.own_classes: 'nobody' is neither in phase_order nor a row"):
        config_check.validate(config)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grad_cam", "bag_cams", "pc1"])
def test_the_saved_model_of_a_rival_has_the_same_outputs_as_prediction(run, saved, name):
    model, path = saved(name)
    files = tf.constant([*loading.load_split(run[0], "test").images[:3], b"no image"])
    expected = model.localize(files)
    assert expected["activation_map"].numpy()[:3].max() == 1
    loaded = tf.saved_model.load(path)
    found = loaded.signatures["serving_default"](image_bytes=files)
    assert set(found) == set(expected)
    for key, value in expected.items():
        if value.dtype.is_floating:
            np.testing.assert_allclose(found[key], value, atol=1e-5, err_msg=key)
        else:
            np.testing.assert_array_equal(found[key], value, err_msg=key)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # sessions are deprecated
@pytest.mark.parametrize("name", ["grad_cam", "bag_cams", "pc1"])
def test_gradients_and_eigenvectors_run_in_a_session_as_in_tensorflow_serving(run, saved, name):
    (model, path), tf1 = saved(name), tf.compat.v1
    files = list(loading.load_split(run[0], "test").images[:3])
    expected = model.localize(tf.constant(files))
    with tf1.Session(graph=tf.Graph()) as session:
        signature = tf1.saved_model.load(session, ["serve"], path).signature_def["serving_default"]
        outputs = {name: tensor.name for name, tensor in signature.outputs.items()}
        found = session.run(outputs, {signature.inputs["image_bytes"].name: files})
    for key in ("activation_map", "detection_boxes"):
        np.testing.assert_allclose(found[key], expected[key], atol=1e-5, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "method"), [("hide_and_seek", "grad_cam"), ("adl", "cam")])
def test_cam_and_grad_cam_can_use_the_classifiers_of_rivals(run, phase, method):
    config, workdir = run
    config = config.copy_and_resolve_references()
    config.evaluation.row.map = ornet.row(method, {"lower": f"{phase}.lower", "upper": f"{phase}.upper"})
    images = next(iter(loading.evaluation_batches(config, loading.load_split(config, "test"))))["image"]
    found, expected = (build.trained_method(config, name, workdir, 3).predict(images) for name in ("map", phase))
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-5)
    if method == "cam":
        np.testing.assert_allclose(found["activation_map"], expected["activation_map"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_can_start_from_the_evaluators_weights(run, name):
    config, workdir = run
    method = build.build_method(config, config.phase[name], 3)
    parts = {part: method.parts[part] for part in ("lower", "upper")}
    checkpoints.load_parts(parts, {part: f"evaluator.{part}" for part in parts}, workdir)
    loaded = variables.named_variables(parts, trainable_only=False)
    trained = build.trained_method(config, "evaluator", workdir, 3).parts
    expected = variables.named_variables(trained, trainable_only=False)
    assert len(loaded) >= len(expected) - 2  # ACoL has its own classifiers
    for path, variable in loaded.items():
        np.testing.assert_array_equal(variable, expected[path], err_msg=path)


def test_the_patch_sizes_of_toybirds_are_the_papers_scaled_to_its_images():
    defaults = inspect.signature(registry.find("methods", "hide_and_seek")).parameters["patch_sizes"].default
    config = rivals_toybirds.get_config()
    sizes = np.array(config.phase.hide_and_seek.options.patch_sizes)
    np.testing.assert_allclose(sizes, np.array(defaults) * config.input.crop / 224, atol=1.2)


@pytest.mark.slow
def test_every_phase_of_cub10_can_be_built_and_trains_block5_of_the_rivals(vgg16_file):
    config, tiny = rivals_cub10.get_config(), tiny_rivals.get_config()
    source = loading.load_source(tiny, "train")
    for phase in config.phase.values():
        phase.batch_size = 8
    config.input.update({"resize": 36, "crop": 32})
    config.backbone.options.weights = vgg16_file
    phase_check.check(config, source)
    build_one = functools.partial(build.build_method, build.drop_start_weights(config), num_classes=3)
    for name in RIVALS:
        paths = build_one(section=config.phase[name]).trainable_variables
        trained = [path for path in paths if any(part in path for part in config.phase[name].trainable)]
        layers = {path.split("/")[1] for path in trained}
        assert {f"block5_conv{index}" for index in (1, 2, 3)} < layers
        assert not [layer for layer in layers if layer.startswith(("block3", "block4"))]
