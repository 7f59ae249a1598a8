"""Fixtures for several test files."""
import io

import pytest

import ornet_tf  # noqa: F401 - sets environment variables that TensorFlow reads on import
from tests import tiny_experiment


def pytest_configure():
    """Splits the CPU into two logical devices before its first use, so that tests can run with two replicas."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def pytest_collection_modifyitems(items):
    """Moves files with slow tests to the front: a long file that starts last would keep a single process busy."""
    long_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long_files)


@pytest.fixture(scope="module", autouse=True)
def _seeded():
    """Seeds random numbers for each test file, so that running the file again reproduces a failure."""
    from ornet_tf.compat import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def encode():
    """A function that encodes an image, uint8 [H, W] or [H, W, C] or a Pillow image, as the bytes of a file."""
    from PIL import Image

    def write(image, kind="PNG", **options):
        buffer = io.BytesIO()
        pillow = image if isinstance(image, Image.Image) else Image.fromarray(image)
        pillow.save(buffer, kind, **options)
        return buffer.getvalue()

    return write


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The configuration and the workdir of the tiny experiment, which is trained once for all tests."""
    from ornet_tf.training.phases import train

    config = tiny_experiment.get_config()
    workdir = str(tmp_path_factory.mktemp("tiny_run"))
    train(config, workdir)
    return config, workdir


@pytest.fixture(scope="session")
def exported(tiny_run):
    """The folder of an export of the tiny run, which tests only read."""
    from ornet_tf.inference import saved_model

    return saved_model.export(*tiny_run)


@pytest.fixture(scope="session")
def loaded_export(exported):
    """That export, loaded: each signature is built and optimized once for all tests."""
    import tensorflow as tf

    return tf.saved_model.load(exported)


@pytest.fixture(scope="session")
def vgg16_file(tmp_path_factory):
    """The path of a file of random VGG16 weights without the dense layers, in the format of Keras Applications."""
    from ornet_tf.compat import keras

    path = str(tmp_path_factory.mktemp("vgg16") / "notop.weights.h5")
    keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(path)
    return path


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """A page in a headless Chromium; tests that use it are skipped where Chromium is not installed."""
    from tests import browser

    with browser.started(tmp_path_factory.mktemp("downloads")) as page:
        yield page


@pytest.fixture(scope="session")
def http():
    """An HTTP session for servers on this machine, which ignores proxies of the environment."""
    import requests

    with requests.Session() as session:
        session.trust_env = False
        yield session
