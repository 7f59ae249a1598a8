"""Grafana's panels ask for what TensorFlow Serving exports, in expressions that Prometheus understands."""
import json
import re
import shutil
import subprocess

import pytest
import yaml

from tests import source_tree

DEPLOY = source_tree.ROOT / "serving" / "deploy"
TEXT = (DEPLOY / "grafana_dashboard.json").read_text(encoding="utf-8")
DASHBOARD = json.loads(TEXT)
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
# The kind of each metric and its labels.
METRICS = {
    ":tensorflow:serving:request_count": ("counter", {"model_name", "status"}),
    ":tensorflow:serving:request_latency": ("histogram", {"model_name", "API", "entrypoint"}),
    ":tensorflow:serving:runtime_latency": ("histogram", {"model_name", "API", "runtime"}),
    ":tensorflow:serving:model_warmup_latency": ("histogram", {"model_path", "status"}),
    "up": ("counter", {"job", "instance"}),  # Prometheus's own
}
SUFFIXES = {"counter": ("",), "histogram": ("_bucket", "_sum", "_count")}
SERIES = {name + end: labels for name, (kind, labels) in METRICS.items() for end in SUFFIXES[kind]}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_panels_ask_for_what_the_server_exports(expression):
    found = re.findall(r"(:tensorflow:[\w:]+|\bup\b)(?:\{([^}]*)\})?", expression)
    assert found and {name for name, _ in found} <= set(SERIES)
    for name, matchers in found:
        labels = SERIES[name] | ({"le"} if name.endswith("_bucket") else set())
        assert set(re.findall(r"(\w+)!?=", matchers)) <= labels
        assert set(re.findall(r"by \((\w+)\)", expression)) <= labels


def test_the_variables_that_panels_use_are_there():
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]\w*)", TEXT)) == set(variables)
    metric, label = re.fullmatch(r"label_values\((\S+), (\w+)\)", variables["model"]["query"]).groups()
    assert label in SERIES[metric]


def test_panels_have_places_of_their_own():
    panels = DASHBOARD["panels"]
    for key in ("id", "title", "gridPos"):
        assert len({str(panel[key]) for panel in panels}) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    letters = [[target["refId"] for target in panel["targets"]] for panel in panels]
    assert all(len(set(row)) == len(row) for row in letters)


def test_prometheus_understands_its_configuration_and_the_panels(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    filled = [text.replace("$__rate_interval", "1m").replace("$model", "ornet") for text in EXPRESSIONS]
    assert not any("$" in expression for expression in filled)
    rules = [{"record": f"panel{number}", "expr": expression} for number, expression in enumerate(filled)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    # Not the cluster's: Debian's promtool is built without Kubernetes.
    for command in (["rules", tmp_path / "rules.yml"], ["config", "--syntax-only", DEPLOY / "prometheus.yml"]):
        done = subprocess.run([promtool, "check", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
