"""The files of serving/deploy are what TensorFlow Serving, Docker and Kubernetes read, and they fit each other."""
import re
import shutil
import subprocess

import pytest
import yaml

from ornet_tf.data import file_checks
from ornet_tf.inference import warm_up
from tests import source_tree

DEPLOY = source_tree.ROOT / "serving" / "deploy"


def read(name):
    return (DEPLOY / name).read_text(encoding="utf-8")


def manifest(name):
    document, = yaml.safe_load_all(read(f"kubernetes/{name}.yaml"))
    return document


COMPOSE = yaml.safe_load(read("docker-compose.yml"))["services"]
DEPLOYMENT = manifest("deployment")
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINERS = {container["name"]: container for container in POD["containers"]}
FLAGS = dict(argument.removeprefix("--").split("=") for argument in CONTAINERS["serving"]["args"])
NGINX = read("proxy/nginx.conf")


def message(name, fields):
    """Returns the class of a message of TensorFlow Serving whose Python module is not in tensorflow-serving-api.

    Args:
      name: its name.
      fields: name of each field -> its type: a scalar, a wrapper or a message made here; "repeated" before it if it is.
    """
    parts = ("descriptor_pb2", "descriptor_pool", "message_factory")
    descriptor_pb2, pool, factory = (pytest.importorskip(f"google.protobuf.{part}") for part in parts)
    pytest.importorskip("google.protobuf.wrappers_pb2")  # puts the wrappers into the pool
    package = "tensorflow.serving"
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=package, syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    declared = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields.items(), start=1):
        repeated, kind = kind.startswith("repeated "), kind.removeprefix("repeated ")
        added = declared.field.add(name=field, number=number, label=3 if repeated else 1)
        scalars = {"int64": 3, "bool": 8, "string": 9}
        if kind in scalars:
            added.type = scalars[kind]
        elif kind.endswith("Value"):
            added.type, added.type_name = 11, f".google.protobuf.{kind}"
        else:
            added.type, added.type_name = 11, f".{package}.{kind}"
            file.dependency.append(f"{kind}.proto")
    if not hasattr(factory, "GetMessageClass"):
        pytest.skip("protobuf is older than 4.22")
    pool.Default().AddSerializedFile(file.SerializeToString())
    return factory.GetMessageClass(pool.Default().FindMessageTypeByName(f"{package}.{name}"))


@pytest.fixture(name="parse", scope="module")
def _parse():
    """The function that reads a text proto of this folder into a message."""
    text_format = pytest.importorskip("google.protobuf.text_format")
    return lambda name, message: text_format.Parse(read(name), message)


def test_labels_point_at_versions_that_are_held(parse):
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    from tensorflow_serving.config import model_server_config_pb2

    config, = parse("models.config", model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == ("ornet", "/models/ornet", "tensorflow")
    held = set(config.model_version_policy.specific.versions)
    assert config.model_version_policy.WhichOneof("policy_choice") == "specific" and held
    assert set(config.version_labels) == {"stable", "canary"}
    assert set(config.version_labels.values()) <= held


def test_batches_are_as_large_as_the_warm_up_and_as_many_as_the_cores(parse):
    kind = message(
        "BatchingParameters",
        {
            "max_batch_size": "Int64Value",
            "batch_timeout_micros": "Int64Value",
            "max_enqueued_batches": "Int64Value",
            "num_batch_threads": "Int64Value",
            "thread_pool_name": "StringValue",
            "allowed_batch_sizes": "repeated int64",
            "pad_variable_length_inputs": "bool",
            "enable_large_batch_splitting": "BoolValue",
            "max_execution_batch_size": "Int64Value",
        },
    )
    batching = parse("batching_parameters.txt", kind())
    assert batching.enable_large_batch_splitting.value
    largest = batching.max_execution_batch_size.value
    assert largest == max(warm_up.BATCH_SIZES) and batching.max_batch_size.value % largest == 0
    assert not batching.allowed_batch_sizes  # or the last one must be `largest`
    assert 0 <= batching.batch_timeout_micros.value <= 10_000
    cores = CONTAINERS["serving"]["resources"]["limits"]["cpu"]
    assert batching.num_batch_threads.value == int(cores) == COMPOSE["serving"]["cpus"]
    assert batching.max_enqueued_batches.value >= batching.num_batch_threads.value
    for pool in ("intra", "inter"):  # TensorFlow would count the cores of the whole node
        assert FLAGS[f"tensorflow_{pool}_op_parallelism"] == cores


def test_metrics_are_served_where_prometheus_looks(parse):
    enabled = message("PrometheusConfig", {"enable": "bool", "path": "string"})
    config = parse("monitoring.config", message("MonitoringConfig", {"prometheus_config": enabled.DESCRIPTOR.name})())
    assert config.prometheus_config.enable
    for name in ("prometheus.yml", "kubernetes/prometheus_scrape.yaml"):
        job, = yaml.safe_load(read(name))["scrape_configs"]
        assert job["metrics_path"] == config.prometheus_config.path
    # The targets: the server's REST port, in compose and in a pod.
    static, = yaml.safe_load(read("prometheus.yml"))["scrape_configs"][0]["static_configs"]
    assert static["targets"] == [f"serving:{FLAGS['rest_api_port']}"] and "serving" in COMPOSE
    kept = job["relabel_configs"][0]
    assert kept["source_labels"] == ["__meta_kubernetes_pod_label_app", "__meta_kubernetes_pod_container_port_name"]
    assert kept["regex"].split(";") == [DEPLOYMENT["spec"]["selector"]["matchLabels"]["app"], "rest"]


def test_both_platforms_start_the_same_server():
    serving, container = COMPOSE["serving"], CONTAINERS["serving"]
    assert serving["entrypoint"] == container["command"] == ["tensorflow_model_server"]
    assert serving["command"] == container["args"]
    assert {name: service["image"] for name, service in COMPOSE.items() if name in CONTAINERS} == {
        name: container["image"] for name, container in CONTAINERS.items()
    }
    assert FLAGS["port"] == "0" and FLAGS["allow_version_labels_for_unavailable_models"] == "true"
    assert FLAGS["enable_batching"] == "true"  # or naming the parameters is an error
    assert float(re.search(r"proxy_read_timeout (\d+)s", NGINX)[1]) * 1000 > float(FLAGS["rest_api_timeout_in_ms"])


def test_images_are_pinned_and_the_server_is_not_older_than_the_export():
    for image in [service["image"] for service in COMPOSE.values()] + [c["image"] for c in CONTAINERS.values()]:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+(-alpine)?", image), image
    tensorflow = re.search(r"^tensorflow~=(\d+)\.(\d+)", source_tree.text("requirements.txt"), re.M).groups()
    served = re.search(r":(\d+)\.(\d+)", CONTAINERS["serving"]["image"]).groups()
    assert tuple(map(int, served)) >= tuple(map(int, tensorflow))


def test_containers_are_locked_down():
    for name, service in COMPOSE.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["user"].split(":")[0]) > 0 and all(service[k] for k in ("cpus", "mem_limit", "pids_limit"))
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        mounted = [volume for volume in service["volumes"] if not volume.startswith("prometheus:")]
        assert mounted and all(volume.endswith(":ro") for volume in mounted), name
    assert POD["securityContext"]["runAsNonRoot"] is True and POD["securityContext"]["runAsUser"] > 0
    assert POD["automountServiceAccountToken"] is False
    for name, container in CONTAINERS.items():
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"] is True and locked["allowPrivilegeEscalation"] is False, name
        assert locked["capabilities"] == {"drop": ["ALL"]} and not locked.get("privileged"), name
        for bound in ("requests", "limits"):
            assert set(container["resources"][bound]) == {"cpu", "memory"}, name
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert writable == ["/tmp"], name


def test_ports_fit_each_other():
    ports = {p["name"]: p["containerPort"] for container in CONTAINERS.values() for p in container["ports"]}
    assert ports == {"rest": int(FLAGS["rest_api_port"]), "http": int(re.search(r"listen (\d+);", NGINX)[1])}
    assert re.search(r"server 127\.0\.0\.1:(\d+);", NGINX)[1] == FLAGS["rest_api_port"]
    assert COMPOSE["serving"]["ports"] == [f"127.0.0.1:{ports['http']}:{ports['http']}"]
    assert COMPOSE["proxy"]["network_mode"] == "service:serving" and "ports" not in COMPOSE["proxy"]
    service = manifest("service")["spec"]
    assert [port["targetPort"] for port in service["ports"]] == ["http"]
    probed = [p for c in CONTAINERS.values() for kind, p in c.items() if kind.endswith("Probe")]
    assert {probe.get("httpGet", probe.get("tcpSocket"))["port"] for probe in probed} == set(ports)


def test_labels_are_what_selectors_look_for():
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    policy = manifest("network_policy")["spec"]
    for selector in (
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        manifest("service")["spec"]["selector"],
        policy["podSelector"]["matchLabels"],
    ):
        assert selector and selector.items() <= labels.items()
    anyone, monitoring = policy["ingress"]
    assert anyone == {"ports": [{"port": "http"}]}
    assert monitoring["from"] and monitoring["ports"] == [{"port": "rest"}]


def test_readiness_is_an_answer_that_only_a_loaded_model_gives():
    # Proven against a server that loads by the tests of local_server: 404, and 200 once a version is available.
    assert set(CONTAINERS["serving"]) >= {"startupProbe", "readinessProbe", "livenessProbe"}
    for name, container in CONTAINERS.items():
        assert container["readinessProbe"]["httpGet"]["path"].endswith("/metadata"), name
        assert "tcpSocket" in container["livenessProbe"], name
    test = COMPOSE["proxy"]["healthcheck"]["test"]
    assert test[-1].endswith(f":{re.search(r'listen (.+);', NGINX)[1]}/v1/models/ornet/metadata")


def test_every_file_that_is_named_comes_from_a_mount():
    generated = {
        entry["name"]: {file.split("/")[-1] for file in entry["files"]}
        for entry in yaml.safe_load(read("kustomization.yaml"))["configMapGenerator"]
    }
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert volumes["proxy"]["configMap"]["name"] == "ornet-proxy" and generated["ornet-proxy"] == {"nginx.conf"}
    sources = [source["configMap"]["name"] for source in volumes["config"]["projected"]["sources"]]
    assert {"ornet-proxy", *sources} == set(generated)
    mounted = {f"/etc/ornet/{file}" for source in sources for file in generated[source]}
    assert {value for value in FLAGS.values() if value.startswith("/")} == mounted
    assert all((DEPLOY / path.removeprefix("/etc/ornet/")).is_file() for path in mounted)
    assert ".:/etc/ornet:ro" in COMPOSE["serving"]["volumes"]
    for container in CONTAINERS.values():
        assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
    places = {mount["name"]: mount["mountPath"] for mount in CONTAINERS["serving"]["volumeMounts"]}
    assert (places["config"], places["export"]) == ("/etc/ornet", "/models/ornet")
    assert not any("subPath" in mount for mount in CONTAINERS["serving"]["volumeMounts"])  # it would never change


def test_kustomize_builds_what_the_files_say(parse):
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", DEPLOY], capture_output=True, text=True, check=True)
    built = {(document["kind"], document["metadata"]["name"]): document for document in yaml.safe_load_all(done.stdout)}
    assert built["ConfigMap", "ornet-models"]["data"] == {"models.config": read("models.config")}
    pod = built["Deployment", "ornet"]["spec"]["template"]["spec"]
    maps = {name: document["data"] for (kind, name), document in built.items() if kind == "ConfigMap"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert maps[volumes["proxy"]["configMap"]["name"]] == {"nginx.conf": NGINX}
    named = [source["configMap"]["name"] for source in volumes["config"]["projected"]["sources"]]
    assert {file for name in named for file in maps[name]} >= {"models.config", "monitoring.config"}


def test_the_readme_names_every_file():
    named = re.findall(r"^\| (`[^|]+) \|", source_tree.text("serving/README.md"), re.M)
    named = set(re.findall("`([^`]+)`", " ".join(named)))
    files = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*.*")}
    assert {file for file in files - named if "kubernetes/" not in file or "kubernetes/" not in named} == set()


def test_the_proxy_takes_the_largest_image():
    limit = int(re.search(r"client_max_body_size (\d+)m;", NGINX)[1]) * 2**20
    assert file_checks.MAX_BYTES * 4 / 3 < limit < file_checks.MAX_BYTES * 2
    held = int(re.search(r"limit_conn requests (\d+);", NGINX)[1]) * limit
    assert held <= 2**30  # the sizes of /tmp below
    assert COMPOSE["proxy"]["tmpfs"] == ["/tmp:size=1g"]
    assert {"name": "proxy-tmp", "emptyDir": {"sizeLimit": "1Gi"}} in POD["volumes"]
