import pytest

from ornet_tf import config
from ornet_tf.bulk import export_version


def write(folder, model, name="data", data="y"):
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(model)
    (folder / "variables" / name).write_text(data)
    return export_version.read(folder)


def test_the_name_of_the_version_and_a_digest_of_all_files(tmp_path):
    first = write(tmp_path / "a" / "3", "x")
    assert first.startswith("3@") and len(first) == len("3@") + 12
    assert write(tmp_path / "b" / "3", "x") == first
    assert write(tmp_path / "c" / "3", "x", data="z") != first
    assert write(tmp_path / "d" / "3", "x", name="date") != first
    assert write(tmp_path / "e" / "3", "xy", data="") != first


def test_a_folder_without_an_export(tmp_path):
    with pytest.raises(FileNotFoundError, match="no saved_model.pb"):
        export_version.read(tmp_path)


def test_the_largest_file_that_an_export_reads(tmp_path):
    experiment = config.default()
    experiment.export.max_bytes = 7
    path = tmp_path / "assets" / "provenance.json"
    path.parent.mkdir()
    path.write_text(experiment.to_json_best_effort().join(["{\"config\": ", "}"]))
    assert export_version.max_bytes(tmp_path) == 7


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"config": {"export": {"max_bytes": "x"}}}'])
def test_an_export_that_does_not_say_it(tmp_path, content):
    if content is not None:
        (tmp_path / "assets").mkdir()
        (tmp_path / "assets" / "provenance.json").write_text(content)
    assert export_version.max_bytes(tmp_path) == 20_000_000
