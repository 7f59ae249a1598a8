"""A small export, images of every kind, and runs of the program that tests of bulk localization share."""
import pytest


@pytest.fixture(scope="session")
def bulk_export(tmp_path_factory):
    """The folder of a version of a small export that finds red and green pixels; it reads PNG files only."""
    from tests.serving import tiny_contract

    folder = tmp_path_factory.mktemp("bulk_export") / "7"
    tiny_contract.write(folder)
    return folder


@pytest.fixture(scope="session")
def bulk_model(bulk_export):
    """That export, loaded into this process."""
    import ornet_tf

    return ornet_tf.load(bulk_export)
