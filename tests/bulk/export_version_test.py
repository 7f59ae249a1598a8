import pytest

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
