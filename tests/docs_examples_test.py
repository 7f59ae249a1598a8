"""The examples of the documentation that other programs take: the Kubernetes job, TF_CONFIG, the small network."""
import ast
import functools
import json
import os
import re
import shlex
import subprocess

import yaml

from tests import source_tree


def test_the_kubernetes_job_starts_each_worker_with_its_place_in_the_cluster():
    text, = re.findall(r"```yaml\n(.*?)```", source_tree.text("docs/distributed.md"), re.S)
    service, job = yaml.safe_load_all(text)
    pod = job["spec"]["template"]["spec"]
    container, = pod["containers"]
    name, workers = job["metadata"]["name"], job["spec"]["completions"]
    assert job["spec"]["completionMode"] == "Indexed" and job["spec"]["parallelism"] == workers
    assert service["metadata"]["name"] == pod["subdomain"] and service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": name}
    ignored = job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert ignored == [75] and pod["restartPolicy"] == "Never"
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    script, = container["args"]
    script, count = re.subn(r"exec python -m ornet_tf\.train .*--workdir=/shared/\S+", 'echo "$TF_CONFIG"', script)
    assert count == 1
    port = container["ports"][0]["containerPort"]
    for index in range(workers):
        done = subprocess.run(
            [*container["command"], script], env={**os.environ, "JOB_COMPLETION_INDEX": str(index)},
            capture_output=True, text=True, check=True,
        )
        # An indexed job's pods are called NAME-INDEX; the headless service gives them names under its own.
        hosts = [f"{name}-{other}.{pod['subdomain']}:{port}" for other in range(workers)]
        assert json.loads(done.stdout) == {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}


def test_the_cluster_of_the_example_is_one(monkeypatch):
    from ornet_tf.runs import distribution

    text, = re.findall(r"^TF_CONFIG='(.*?)'", source_tree.text("docs/distributed.md"), re.M)
    monkeypatch.setenv("TF_CONFIG", text)
    assert distribution._cluster() == json.loads(text)["cluster"]


def test_the_small_network_to_try_things_out_is_small():
    from configs import image_folder
    from ornet_tf import build

    page = source_tree.text("docs/training.md")
    text, = re.findall(r"small network without pretrained weights:\s+`(.*?)`", page, re.S)
    config = image_folder.get_config()
    for flag in shlex.split(text):
        path, value = flag.split("=", 1)
        section, key = path.rsplit(".", 1)
        section = functools.reduce(getattr, section.split(".")[1:], config)
        section[key] = value if key == "name" else ast.literal_eval(value)
    assert config.backbone.name == "vgg_small"
    parts = build.build_method(config, config.phase.stage_two, 3).parts
    assert sum(part.count_params() for part in parts.values()) < 200_000
