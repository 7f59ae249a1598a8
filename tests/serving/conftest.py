"""Exports and servers that several tests of serving share: each is written and started once."""
import pytest


@pytest.fixture(scope="session")
def export_base(tmp_path_factory):
    """The folder above version 1 of a small SavedModel with the signatures of an export."""
    from tests.serving import tiny_contract

    base = tmp_path_factory.mktemp("tiny_contract")
    tiny_contract.write(base / "1")
    return base


@pytest.fixture(scope="session")
def export_url(export_base):
    """The URL of that SavedModel on a local server."""
    from serving import local_server

    with local_server.running(export_base, "ornet", poll_wait_seconds=0) as url:
        yield url


@pytest.fixture(scope="session")
def older_base(tmp_path_factory):
    """The folder above version 1 of a small SavedModel like an export from before `status`.

    A bad image fails its request. Other signatures have several inputs and other types.
    """
    from tests.serving import tiny_export

    base = tmp_path_factory.mktemp("tiny_export")
    tiny_export.write(base / "1")
    return base


@pytest.fixture(scope="session")
def older_url(older_base):
    """The URL of that SavedModel on a local server."""
    from serving import local_server

    with local_server.running(older_base, "ornet", poll_wait_seconds=0) as url:
        yield url


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """The server that the contract tests ask."""
    from tests.serving import contract_server

    with contract_server.given_or_started(tmp_path_factory.mktemp("contract")) as server:
        yield server
