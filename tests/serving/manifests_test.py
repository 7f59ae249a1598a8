"""The manifests of serving/deploy/kubernetes and the job of docs/distributed.md fit the schema of the Kubernetes API.

The schema is that of the classes in Kubernetes' own Python client: a key that they do not know, a value of another kind
and a missing key that they require are errors. What the API server checks beyond the kinds, such as numbers in their
range, is not in it. Nor are resources that are not Kubernetes' own: kubernetes/prometheus_scrape.yaml is a part of the
configuration of Prometheus, and kustomization.yaml is for kubectl alone; tests/deploy_test.py looks at these.
"""
import copy
import re
import shutil
import subprocess
import typing

import pytest
import yaml

from tests import source_tree

pytest.importorskip("kubernetes", reason="kubernetes, the schema of the manifests, is not installed")

import pydantic
from kubernetes import client

DEPLOY = source_tree.ROOT / "serving" / "deploy"
FILES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OTHERS = {"prometheus_scrape.yaml"}


class StrictLoader(yaml.SafeLoader):
    """Reads YAML in which no key stands twice; PyYAML, unlike kubectl, would take the last one."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice: {keys}, {node.start_mark}"
        return super().construct_mapping(node, deep)


def documents(text):
    return list(yaml.load_all(text, StrictLoader))


def model(document):
    """Returns the class of what the API's method that creates a `kind` of this `apiVersion` takes."""
    group, _, version = document["apiVersion"].rpartition("/")
    api = f"{group.partition('.')[0].title() or 'Core'}{version.title()}Api"
    assert hasattr(client, api), f"no such apiVersion: {document['apiVersion']}"
    assert group in ("", "apps", "batch", "networking.k8s.io"), group  # the client shortens groups to their first word
    method = "create_namespaced" + re.sub("([A-Z])", r"_\1", document["kind"]).lower()
    assert hasattr(getattr(client, api), method), f"{document['apiVersion']} has no kind {document['kind']}"
    return typing.get_type_hints(getattr(getattr(client, api), method))["body"]


def paths(value, path=""):
    """Returns the path of each key and item, such as .spec.ports[0].name."""
    inner = {f"{path}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {}
    inner.update({f"{path}[{i}]": each for i, each in enumerate(value)} if isinstance(value, list) else {})
    return {path}.union(*(paths(each, name) for name, each in inner.items()))


def as_in_schema(value, key=""):
    """Returns a copy in which amounts of resources are texts: the API takes numbers there, its schema knows texts."""
    if isinstance(value, list):
        return [as_in_schema(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if key in ("limits", "requests"):
        return {name: str(amount) if type(amount) in (int, float) else amount for name, amount in value.items()}
    return {name: as_in_schema(inner, name) for name, inner in value.items()}


def expect_valid(document):
    document = as_in_schema(document)
    read = model(document).model_validate(document).model_dump(by_alias=True, exclude_none=True)
    # The classes take names of Python, such as readiness_probe, and keys without a value: neither comes back.
    differing = paths(document) ^ paths(read)
    assert not differing, sorted(differing)


@pytest.mark.parametrize("path", [path for path in FILES if path.name not in OTHERS], ids=lambda path: path.name)
def test_each_file_is_what_the_api_takes(path):
    document, = documents(path.read_text(encoding="utf-8"))
    expect_valid(document)


def test_what_kustomize_builds_is_what_the_api_takes():
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", DEPLOY], capture_output=True, text=True, check=True)
    built = documents(done.stdout)
    assert {document["kind"] for document in built} == {"ConfigMap", "Deployment", "NetworkPolicy", "Service"}
    for document in built:
        expect_valid(document)


def test_the_job_of_the_documentation_is_what_the_api_takes():
    text, = re.findall(r"```yaml\n(.*?)```", source_tree.text("docs/distributed.md"), re.S)
    service, job = documents(text)
    expect_valid(service)
    expect_valid(job)


def test_only_what_is_no_resource_is_left_out():
    found = {path.name: documents(path.read_text(encoding="utf-8")) for path in FILES}
    assert {name for name, read in found.items() if not all("apiVersion" in document for document in read)} == OTHERS
    resources = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert {f"kubernetes/{path.name}" for path in FILES if path.name not in OTHERS} == set(resources)


@pytest.fixture(name="deployment")
def _deployment():
    document, = documents((DEPLOY / "kubernetes" / "deployment.yaml").read_text(encoding="utf-8"))
    return copy.deepcopy(document)  # two containers share a mapping by an anchor


def rename(mapping, old, new):
    mapping[new] = mapping.pop(old)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda pod: rename(pod["containers"][1], "readinessProbe", "readinesProbe"), "containers.1.readinesProbe"),
        (lambda pod: rename(pod["containers"][0]["ports"][0], "containerPort", "port"), "ports.0.containerPort"),
        (lambda pod: pod["containers"][0]["ports"][0].update(containerPort="8501"), "ports.0.containerPort"),
        (lambda pod: pod["containers"][0]["resources"]["limits"].update(cpu=[4]), "resources.limits.cpu"),
        (lambda pod: pod["containers"][0].update(args="--port=0"), "containers.0.args"),
        (lambda pod: pod["containers"][0].pop("name"), "containers.0.name"),
        (lambda pod: pod["securityContext"].update(runAsNonRoot="true"), "securityContext.runAsNonRoot"),
        (lambda pod: pod["volumes"][1]["projected"]["sources"][0].update(configmap={}), "sources.0.configmap"),
        (lambda pod: pod.pop("containers"), "spec.containers"),
    ],
)
def test_mistakes_are_found(deployment, spoil, message):
    spoil(deployment["spec"]["template"]["spec"])
    with pytest.raises(pydantic.ValidationError, match=re.escape(message)):
        expect_valid(deployment)


@pytest.mark.parametrize(
    "change", [{"apiVersion": "app/v1"}, {"apiVersion": "apps/v3"}, {"apiVersion": "v1"}, {"kind": "Deploymnt"}]
)
def test_versions_and_kinds_that_do_not_exist_are_found(deployment, change):
    with pytest.raises(AssertionError, match="no such apiVersion|has no kind"):
        expect_valid({**deployment, **change})


def test_what_the_classes_let_pass_is_found(deployment):
    with pytest.raises(AssertionError, match="a key stands twice"):
        documents("spec: {replicas: 1, replicas: 2}")
    with pytest.raises(AssertionError, match="strategy"):
        expect_valid({**deployment, "spec": {**deployment["spec"], "strategy": None}})
    container = deployment["spec"]["template"]["spec"]["containers"][1]
    rename(container, "readinessProbe", "readiness_probe")
    with pytest.raises(AssertionError, match=r"containers\[1\]\.readinessProbe"):
        expect_valid(deployment)
