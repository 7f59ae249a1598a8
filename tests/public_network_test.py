"""A public network as the evaluator, as in configs/imagenet_folders.py: nothing trains it, and its classes are kept."""
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from configs import imagenet, imagenet_folders
from ornet_tf import build, config_check
from ornet_tf.compat import keras
from ornet_tf.data import loading
from ornet_tf.errors import UserError
from ornet_tf.evaluation import measurement
from ornet_tf.inference import saved_model
from ornet_tf.reproduction import variants
from ornet_tf.runs import checkpoints
from ornet_tf.training.phases import train
from tests.backbones import keras_layout

WNIDS = [f"n{1440764 + 13 * label:08d}" for label in range(1000)]
IMAGES = 4  # of val/


def draw_tree(root):
    """Draws ImageNet's folders: a training image of each of 1,000 classes, and val/ without classes."""
    rng = np.random.default_rng(0)
    files = [*(f"train/{wnid}/{wnid}_1.JPEG" for wnid in WNIDS), *(f"val/{i}.JPEG" for i in range(IMAGES))]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8))
        coarse.resize((40, 30)).save(root / file, "JPEG")


def label_val(root, labels):
    """Writes the classes and boxes of val/."""
    rows = [f"{i},{WNIDS[label]} 5 4 30 25 " for i, label in enumerate(labels)]
    (root / "val.csv").write_text("\n".join(["ImageId,PredictionString", *rows]))


def get_config(root, weights, size):
    """Returns the experiment of configs/imagenet_folders.py for a drawn tree, with phases of a step."""
    config = imagenet_folders.get_config()
    with config.unlocked():
        config.dataset.options = {"root": str(root), "val_labels": str(root / "val.csv")}
        config.backbone.options.weights = weights
    config.input.update({"resize": size, "crop": size, "cache": "none"})
    config.generator.update({"base_width": 4, "depth": 1})
    config.phase.stage_two.update({"epochs": 0.004, "batch_size": 4})
    config.training.summary_images = 0
    config.evaluation.update({"threshold_split": "", "batch_size": IMAGES, "gallery_images": 0})
    return config


@pytest.mark.slow
def test_its_logits_reach_evaluation_and_export_unchanged(tmp_path):
    """The only test with all 138 million weights of VGG16. Training a stage as well would need 7 GB of memory."""
    root, workdir, weights = tmp_path / "ILSVRC", str(tmp_path / "run"), str(tmp_path / "top.h5")
    draw_tree(root)
    label_val(root, [0] * IMAGES)
    config = get_config(root, weights, 224)
    view = next(iter(loading.evaluation_batches(config, loading.load_source(config, "test"))))["image"]
    reference = keras.applications.VGG16(weights=None, classifier_activation=None)
    keras_layout.randomize(reference)
    keras_layout.write(reference, weights)
    expected = reference(keras.applications.vgg16.preprocess_input(view.numpy().copy()), training=False).numpy()
    classes = expected.argmax(axis=1)
    label_val(root, [*classes[:1], *(classes[1:] + 1) % 1000])  # the first image is right
    del reference
    config.phase_order, config.export.row = ("evaluator",), "grad_cam"
    config.evaluation.report_rows = ("grad_cam",)
    config_check.validate(config)

    train(config, workdir)
    path = checkpoints.latest_checkpoint(f"{workdir}/evaluator")
    assert path.endswith("step-0")
    assert not [name for name, _ in tf.train.list_variables(path) if "optimizer" in name]  # three times the size
    limits = {"rtol": 0, "atol": 1e-4 * np.abs(expected).max()}
    logits = build.trained_method(config, "evaluator", workdir, 1000).predict(view)["logits"]
    np.testing.assert_allclose(logits, expected, **limits)
    assert expected.std(axis=1).min() > 100 * limits["atol"]

    figures = measurement.evaluate(config, workdir)["rows"]["grad_cam"]["tight"]
    assert figures["clserr_top1"] == 100 * (IMAGES - 1) / IMAGES

    exported = tf.saved_model.load(saved_model.export(config, workdir))
    files = tf.constant([(root / "val" / f"{i}.JPEG").read_bytes() for i in range(IMAGES)])
    found = exported.signatures["serving_default"](files)
    np.testing.assert_array_equal(found["detection_classes"][:, 0], classes)
    probabilities = tf.nn.softmax(expected).numpy().max(axis=1)
    np.testing.assert_allclose(found["detection_scores"][:, 0], probabilities, rtol=0.01)
    assert found["detection_class_names"][0, 0] == WNIDS[classes[0]].encode()


def refusal(config, workdir):
    with pytest.raises(UserError) as error:
        train(config, str(workdir))
    return str(error.value)


def test_a_network_whose_last_layers_have_no_weights_is_refused(tmp_path, vgg16_file):
    draw_tree(tmp_path / "data")
    label_val(tmp_path / "data", [0] * IMAGES)
    config = get_config(tmp_path / "data", vgg16_file, 32)
    message = refusal(config, tmp_path / "without_dense_layers")
    assert message.startswith(
        "config.phase.stage_two.init_from.evaluator_upper: expected trained or pretrained weights from evaluator, got "
        "start values of upper/fc1/kernel [512, 4096]: config.phase.evaluator.epochs is 0, and config.backbone.options."
        "weights has no such layer of this shape. Set epochs above 0; or use a weights file that has all layers"
    )
    config.backbone.options.head = "gap"  # one dense layer, for the classes of the data set
    config.phase_order, config.export.row = ("evaluator",), "evaluator"
    for rows, start in (
        (("grad_cam",), "config.evaluation.row.grad_cam.init_from.upper: "),
        ((), "config.evaluation, the row evaluator: "),
    ):
        config.evaluation.report_rows = rows
        message = refusal(config, tmp_path / "without_dense_layer")
        assert message.startswith(start) and "got start values of upper/predictions/kernel [512, 1000]" in message


def test_rows_that_need_another_head_are_refused_before_any_work(tmp_path):
    config = imagenet_folders.get_config()
    for name in ("cam", "pc1"):
        config.evaluation.report_rows = (name,)
        with pytest.raises(UserError, match=f"row.{name}.method: .*head = 'fully_connected', .* needs 'gap' or "):
            config_check.validate(config)
    for name in ("grad_cam", "bag_cams", "mean_features"):
        config.evaluation.report_rows = (name,)
        config_check.validate(config)
    study = variants.Trainer(config, str(tmp_path))
    study.check(["stage_one", "grad_cam"], [])
    with pytest.raises(UserError, match="row.cam.method: .*head = 'fully_connected'"):
        study.check(["stage_one", "cam"], [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("experiment", [imagenet, imagenet_folders])
def test_the_configs_of_imagenet_have_the_papers_schedule_and_network(experiment):
    config = experiment.get_config()
    phases = config.phase
    assert config.backbone.options.to_dict() == {
        "split": "block2_pool", "weights": "imagenet", "head": "fully_connected",
    }
    assert [phases[name].epochs for name in config.phase_order] == [0, 5, 3]
    assert [phases[name].batch_size for name in ("stage_one", "stage_two")] == [256, 256]
    assert [phases[name].learning_rate for name in ("stage_one", "stage_two")] == [1e-3, 1e-4]
