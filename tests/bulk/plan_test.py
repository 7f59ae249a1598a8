import json

import pytest

from ornet_tf.bulk import output_folder, plan
from ornet_tf.bulk.output_folder import OutputFolder
from ornet_tf.errors import UserError
from tests.bulk import images


@pytest.fixture(name="stored")
def _stored(tmp_path):
    """A plan of six images that is stored, and its folder."""
    images.write_folder(tmp_path / "photos", 6)
    made, found = images.make_plan(tmp_path / "photos")
    folder = OutputFolder(str(tmp_path / "out"))
    folder.create()
    plan.store(made, found.files, folder)
    return made, folder


def test_the_same_plan_is_stored_once(tmp_path, stored):
    made, folder = stored
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted((tmp_path / "out").glob("*.*"))]
    again, found = images.make_plan(tmp_path / "photos")
    plan.store(again, found.files, folder)
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted((tmp_path / "out").glob("*.*"))] == before
    assert folder.read_files(1) == found.files[4:]
    assert json.loads(folder.read("plan.json"))["model_version"] == made.model_version == "7@0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_version": "8@1"}, "--export: expected the same .* now '8@1' instead of '7@0'"),
        ({"part_size": 5}, "--part_size: .*now 5 instead of 4"),
        ({"image_field": "x"}, "--image_field: "),
        ({"key_field": "x"}, "--key_field: "),
    ],
)
def test_other_exports_and_options_are_refused(tmp_path, stored, change, message):
    made, found = images.make_plan(tmp_path / "photos", **change)
    with pytest.raises(UserError, match=message):
        plan.store(made, found.files, stored[1])


def test_another_or_a_changed_input_is_refused(tmp_path, stored):
    paths = images.write_folder(tmp_path / "others", 6)
    made, found = images.make_plan(tmp_path / "others")
    with pytest.raises(UserError, match="--input: expected the same .*others"):
        plan.store(made, found.files, stored[1])
    (tmp_path / "photos" / "new.png").write_bytes(images.png(1))
    made, found = images.make_plan(tmp_path / "photos")
    with pytest.raises(UserError, match="--input: .*files were added or removed there.* another --output"):
        plan.store(made, found.files, stored[1])
    assert len(paths) == 6


def test_a_shard_of_another_size_is_refused(tmp_path):
    folder = OutputFolder(str(tmp_path / "out"))
    folder.create()
    for content, name in ((b"x", "a.png"), (b"larger", "b.png")):
        images.write_tar(tmp_path / "a.tar", [(name, content * 10000)])
        made, found = images.make_plan(tmp_path / "a.tar")
        if name == "a.png":
            plan.store(made, found.files, folder)
    with pytest.raises(UserError, match="--input: .*files were added, removed or replaced there"):
        plan.store(made, found.files, folder)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"format": 0}'])
def test_a_foreign_plan_is_refused(stored, content):
    made, folder = stored
    folder.write(output_folder.PLAN, content)
    with pytest.raises(UserError, match="expected the plan.json of this version"):
        plan.store(made, [], folder)


def test_shards_without_a_plan_are_refused(tmp_path, stored):
    made, folder = stored
    (tmp_path / "out" / "plan.json").rename(tmp_path / "out" / "detections" / "part-00000-of-00002.parquet")
    with pytest.raises(UserError, match="has shards and no plan.json"):
        plan.store(made, [], folder)
