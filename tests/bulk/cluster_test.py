import pytest

from ornet_tf.bulk import cluster
from ornet_tf.bulk.cluster import Layout
from ornet_tf.errors import MissingPackageError, UserError


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "expected"),
    [
        ([{"CPU": 2.0}], 0, None, Layout(1, 2, 1, 0)),
        ([{"CPU": 2.0}], 2, None, Layout(2, 1, 0.5, 0)),
        ([{"CPU": 2.0}], 5, None, Layout(5, 1, 0.2, 0)),
        ([{"CPU": 16.0}] * 3, 0, None, Layout(3, 16, 8, 0)),
        ([{"CPU": 16.0}] * 3, 2, None, Layout(2, 16, 8, 0)),
        ([{"CPU": 16.0}, {"memory": 1.0}], 0, None, Layout(1, 16, 8, 0)),
        ([{"CPU": 64.0}, {"CPU": 4.0}], 0, None, Layout(17, 4, 2, 0)),
        ([{"CPU": 64.0}, {"CPU": 4.0}], 2, None, Layout(2, 4, 2, 0)),
        ([{"CPU": 64.0}, *[{"CPU": 8.0, "GPU": 4.0}] * 2], 0, None, Layout(8, 2, 1, 1)),
        ([{"CPU": 16.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 4.0}], 3, None, Layout(3, 8, 4, 1)),
        ([{"CPU": 32.0, "GPU": 4.0}] * 2, 0, None, Layout(8, 8, 4, 1)),
        ([{"CPU": 32.0, "GPU": 4.0}] * 2, 0, 0.5, Layout(16, 4, 2, 0.5)),
        ([{"CPU": 32.0, "GPU": 4.0}] * 2, 0, 0.3, Layout(24, 2, 1, 0.3)),
        ([{"CPU": 32.0, "GPU": 4.0}] * 2, 3, 1.0, Layout(3, 16, 8, 1)),
        ([{"CPU": 32.0, "GPU": 4.0}] * 2, 0, 0.0, Layout(2, 32, 16, 0)),
        ([{"CPU": 32.0, "GPU": 3.0}] * 2, 0, 2.0, Layout(2, 32, 16, 2)),
    ],
)
def test_cores_and_gpus_are_divided(nodes, workers, gpus, expected):
    assert cluster.divide(nodes, workers, gpus) == expected


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus"),
    [([{"CPU": 4.0, "GPU": 1.0}], 3, 0.5), ([{"CPU": 4.0, "GPU": 1.0}] * 2, 0, 2.0)],
)
def test_too_few_gpus(nodes, workers, gpus):
    with pytest.raises(UserError, match="--gpus_per_worker: expected . GPUs of the cluster to suffice for"):
        cluster.divide(nodes, workers, gpus)


def test_no_gpu_at_all():
    with pytest.raises(UserError, match="the cluster has no GPU; give 0, or leave the flag out"):
        cluster.divide([{"CPU": 4.0}], 0, 1.0)


def test_without_ray_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"Expected Ray, which is not installed .*: pip install '\.\[many\]'"):
        cluster.check("", None)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere", "expected HOST:PORT of a Ray cluster, such as 10.0.0.1:6379, got 'nowhere'"),
        ("ray://127.0.0.1:10001", "expected HOST:PORT"),
        ("http://127.0.0.1:8265", "expected HOST:PORT"),
        ("127.0.0.1:1", "expected a Ray cluster at 127.0.0.1:1, but nothing answers there"),
        ("127.0.0.1:99999", "nothing answers there"),
    ],
)
@pytest.mark.parametrize("place", ["flag", "variable"])
def test_wrong_addresses_are_found_at_once(monkeypatch, address, message, place):
    monkeypatch.setattr(cluster, "import_ray", lambda: None)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=message):
        cluster.check(address if place == "flag" else "", None)


@pytest.mark.parametrize("gpus", [float("nan"), float("inf"), 1e-5, 1.5])
def test_a_number_that_is_none_of_gpus_is_refused_before_ray_starts(monkeypatch, gpus):
    monkeypatch.setattr(cluster, "import_ray", lambda: None)
    with pytest.raises(UserError, match="--gpus_per_worker: expected 0, a fraction from 0.0001 to 1, or a whole"):
        cluster.check("", gpus)
    for good in (None, 0.0, 0.0001, 0.5, 1.0, 4.0):
        cluster.check("", good)


@pytest.mark.parametrize("address", ["", "auto", "local"])
def test_a_cluster_of_this_machine_is_not_asked_before(monkeypatch, address):
    monkeypatch.setattr(cluster, "import_ray", lambda: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster.check(address, None)
