"""models.config is read as TensorFlow Serving reads it, and what is wrong with it is said."""
import pytest

from serving.model_config import Choice, read
from tests import source_tree

DEPLOYED = source_tree.ROOT / "serving" / "deploy" / "models.config"
FULL = """
# Comments, both quotes, with and without colons, commas and semicolons.
model_config_list: {
  config { name: "other" base_path: "/b" model_version_policy { all {} } }
  config {
    name: 'ornet', base_path: "/models/or#net"; model_platform: "tensorflow"
    model_version_policy: { specific: { versions: 3 versions: 12 } }
    version_labels { key: "stable" value: 3 }
    version_labels { value: 12 key: "canary" }
  }
}
"""


@pytest.fixture(name="choice")
def _choice(tmp_path):
    def read_text(text, name="ornet"):
        (tmp_path / "models.config").write_text(text)
        return read(tmp_path / "models.config", name)

    return read_text


def config(inner):
    return f'model_config_list {{ config {{ name: "ornet" {inner} }} }}'


def test_versions_and_labels_of_the_named_model(choice):
    assert choice(FULL) == Choice(frozenset({3, 12}), None, {"stable": 3, "canary": 12})
    assert choice(FULL, "other") == Choice(latest=None)


@pytest.mark.parametrize(
    ("policy", "picked"),
    [
        ("", {9}),
        ("model_version_policy { latest {} }", {9}),
        ("model_version_policy { latest { num_versions: 0 } }", {9}),
        ("model_version_policy { latest { num_versions: 2 } }", {8, 9}),
        ("model_version_policy { latest { num_versions: 7 } }", {2, 8, 9}),
        ("model_version_policy { all {} }", {2, 8, 9}),
        ("model_version_policy { specific { versions: 2 versions: 5 } }", {2}),
    ],
)
def test_policies_pick_among_the_versions_that_are_there(choice, policy, picked):
    assert choice(config(policy)).pick({2, 8, 9}) == picked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one model_config_list.config with name 'ornet', found 0"),
        (config("") + config(""), "expected one model_config_list.config with name 'ornet', found 2"),
        ("model_config_list { config {", "expected the name of a field, found 'end of file'"),
        (config("model_version: 3"), "in a config, found model_version"),
        (config("model_version_policy { newest {} }"), r"in model_version_policy, found \['newest'\]"),
        (config("model_version_policy { all {} latest {} }"), r"found \['all', 'latest'\]"),
        (config("model_version_policy: 3"), r"expected model_version_policy \{ ... \}, found .*: '3'"),
        (config("model_version_policy { specific {} }"), "expected versions in specific, found none"),
        (config("model_version_policy { specific { versions: -1 } }"), "expected a number for versions, found '-1'"),
        (config('version_labels { key: "a" }'), r"expected one value, found \[\]"),
        (config('version_labels { key: "a" value: "new" }'), "expected a number for value, found '\"new\"'"),
    ],
)
def test_what_is_wrong_is_said(choice, text, message):
    with pytest.raises(ValueError, match=f"^Cannot read .*models.config as a models.config: .*{message}.*[.]$"):
        choice(text)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="Cannot read .*none: No such file .*; is it the models.config"):
        read(tmp_path / "none", "ornet")


@pytest.mark.parametrize("text", [FULL, DEPLOYED.read_text()])
def test_tensorflow_servings_own_message_says_the_same(choice, text):
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    from tensorflow_serving.config import model_server_config_pb2

    text_format = pytest.importorskip("google.protobuf.text_format")
    configs = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    (expected,) = (entry for entry in configs if entry.name == "ornet")
    found = choice(text)
    assert found.versions == set(expected.model_version_policy.specific.versions)
    assert found.labels == dict(expected.version_labels)
