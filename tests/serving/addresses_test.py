import pytest

from serving import addresses


def test_kinds(tmp_path):
    cases = {"http://a/v1/models/m": "rest", "https://a:1/b": "rest", "grpc://a/m": "grpc", str(tmp_path): "folder"}
    assert {address: addresses.kind(address) for address in cases} == cases


@pytest.mark.parametrize("address", ["localhost:8501/v1/models/ornet", "ftp://a/b", "nothing", "", "http://", "http://["])
def test_what_is_no_address(address):
    with pytest.raises(ValueError, match="Expected a model's URL such as http://.* grpc://.* folder of an export, but"):
        addresses.kind(address)


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("grpc://host/ornet", ("host", 8500, "ornet", None)),
        ("grpc://host:9000/ornet/", ("host", 9000, "ornet", None)),
        ("grpc://[::1]:9000/ornet/versions/12", ("::1", 9000, "ornet", 12)),
        ("grpc://host/a%20b", ("host", 8500, "a b", None)),
    ],
)
def test_grpc_addresses(address, parsed):
    assert addresses.parse_grpc(address) == parsed


@pytest.mark.parametrize(
    "address",
    ["grpc://host", "grpc://host/", "grpc://host:x/m", "grpc://host:70000/m", "grpc:///m", "grpc://host/m/versions/x",
     "grpc://host/m/labels/canary",
     "grpc://host/m:predict", "grpc://host/m?x=1", "grpc://host/v1/models/m", "http://host/m"],
)  # fmt: skip
def test_what_is_no_grpc_address(address):
    with pytest.raises(ValueError, match=r"Expected a gRPC address such as grpc://127.*:8500/ornet or .*, but got"):
        addresses.parse_grpc(address)


def test_this_machine():
    assert all(map(addresses.is_loopback, ("127.0.0.1", "localhost", "::1")))
    assert not any(map(addresses.is_loopback, ("10.0.0.1", "example.org", None)))
