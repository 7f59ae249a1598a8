"""Options of data sets that are paths: empty paths and URLs are refused with the name of the option."""
from __future__ import annotations

import inspect
import pathlib

import numpy as np
import pytest
import scipy.io

from ornet_tf import config as ornet
from ornet_tf import config_check, registry
from ornet_tf.data import image_cache, shard_writer
from ornet_tf.data.source import Source
from ornet_tf.errors import UserError
from tests.datasets import cub_tree

# The options of each data set that are paths, and those that may be empty or a URL by their documentation.
OPTIONS = {
    "cub": ["root", "segmentations"],
    "fgvc_aircraft": ["root", "banner_free"],
    "image_folder": ["root", "boxes_csv"],
    "imagenet": ["root", "boxes", "val_labels", "synsets"],
    "reid": ["root"],
    "shards": ["root"],
    "stanford_dogs": ["root"],
    "tfds": ["data_dir", "cache_dir"],
    "toybirds": ["cache_dir"],
    "wsol_metadata": ["metadata", "root", "class_names"],
}
MAY_BE_EMPTY = {("tfds", "data_dir"), ("tfds", "cache_dir"), ("toybirds", "cache_dir")}
MAY_BE_A_URL = {("tfds", "data_dir")}
EVERY = [(name, option) for name, options in OPTIONS.items() for option in options if name != "tfds"]


@pytest.fixture
def valid(tmp_path, monkeypatch):
    """Options with which each data set can be loaded."""
    monkeypatch.chdir(tmp_path)  # so that an empty path would be a valid folder
    for folder in ("images", "segmentations", "train/n01", "val/n01", "bounding_box_test", "query", "test", "Images"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "Annotation").mkdir()
    cub_tree.write(tmp_path / "cub")
    image = Source(["a"], [b"encoded"], ["1"], np.zeros(1, np.int32))
    shard_writer.write({"train": "none", "validation": "none", "test": image}, tmp_path / "shards", images_per_shard=1)
    for name in ("train/n01/n01_1.jpg", "val/n01/1.jpg", "test/n01_1.jpg", "query/0001_c1.jpg"):
        (tmp_path / name).write_bytes(b"")
    lines = {
        "names.txt": "n01 tench\n", "solution.csv": "ImageId,PredictionString\n1,n01 1 2 3 4 \n",
        "images_variant_train.txt": "1 a\n", "images_variant_val.txt": "2 a\n", "images_variant_test.txt": "3 a\n",
        "images_box.txt": "3 1 2 3 4\n", "test/image_ids.txt": "1.jpg\n", "test/class_labels.txt": "1.jpg,0\n",
        "test/localization.txt": "1.jpg,1,2,3,4\n", "test_list.txt": "n01-Dog/1.jpg\n", "train_list.txt": "",
        "folders/test/n01/1.jpg": "", "folders/boxes.csv": "file,xmin,ymin,xmax,ymax\ntest/n01/1.jpg,1,2,3,4\n",
    }  # fmt: skip
    for name, text in lines.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return {
        "cub": {"root": tmp_path / "cub", "segmentations": tmp_path / "segmentations"},
        "fgvc_aircraft": {"root": tmp_path, "banner_free": tmp_path / "copies"},
        "image_folder": {"root": tmp_path / "folders", "boxes_csv": "boxes.csv"},
        "shards": {"root": tmp_path / "shards"},
        "imagenet": {"root": tmp_path, "boxes": tmp_path, "val_labels": tmp_path / "solution.csv",
                     "synsets": tmp_path / "names.txt"},
        "reid": {"root": tmp_path},
        "stanford_dogs": {"root": tmp_path},
        "toybirds": {"cache_dir": tmp_path / "birds", "test_count": 2, "image_size": 32},
        "wsol_metadata": {"metadata": tmp_path, "root": tmp_path, "class_names": tmp_path / "names.txt"},
    }  # fmt: skip


def test_all_path_options_are_tested():
    for name in registry.choices("datasets"):
        parameters = inspect.signature(registry.find("datasets", name)).parameters.values()
        paths = {p.name for p in parameters if "PathLike" in str(p.annotation)} | {"boxes_csv", "cache_dir"}
        assert sorted(OPTIONS[name]) == sorted(paths & {p.name for p in parameters}), name


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "tfds"])
def test_valid_paths_are_loaded(valid, name):
    assert len(registry.find("datasets", name)("test", **valid[name]))


@pytest.mark.parametrize(("name", "option"), [pair for pair in EVERY if pair not in MAY_BE_EMPTY])
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_path_is_not_the_current_folder(valid, name, option, empty):
    with pytest.raises(UserError, match=f"^{name}: {option}: expected a path, got an empty string"):
        registry.find("datasets", name)("test", **{**valid[name], option: empty})


@pytest.mark.parametrize(("name", "option"), [pair for pair in EVERY if pair not in MAY_BE_A_URL])
@pytest.mark.parametrize("url", ["gs://bucket/data", "https://host/list.csv", "s3://bucket/solution.csv"])
def test_a_url_is_not_taken_for_a_folder_of_that_name(valid, tmp_path, name, option, url):
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=f"^{name}: {option}: expected a path of this machine, got '{url}'"):
        registry.find("datasets", name)("test", **{**valid[name], option: url})
    assert {path for path in set(tmp_path.rglob("*")) - before if ":" in str(path.relative_to(tmp_path))} == set()


@pytest.mark.parametrize(("name", "option"), sorted(set(EVERY) & MAY_BE_EMPTY))
def test_an_empty_path_is_the_default_if_documented(valid, name, option):
    assert len(registry.find("datasets", name)("test", **{**valid[name], option: ""}))


def test_the_home_folder_may_be_abbreviated(valid, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    options = {key: f"~/{tmp_path.name}/{value.relative_to(tmp_path)}" for key, value in valid["imagenet"].items()}
    assert registry.find("datasets", "imagenet")("test", **options).images == [f"{tmp_path}/val/n01/1.jpg"]


@pytest.mark.parametrize("folder", ["gs://bucket/cache", " "])
def test_the_cache_of_images_is_on_this_machine(folder, encode):
    config = ornet.default()
    config.dataset.options = {"root": "."}
    config_check.validate(config)
    config.input.cache_dir = folder
    with pytest.raises(UserError, match="^config.input.cache_dir: expected a path"):
        config_check.validate(config)
    source = Source(["a"], [encode(np.zeros([8, 8, 3], np.uint8))], ["0"], np.zeros(1, np.int32))
    with pytest.raises(UserError, match="^cache_dir: expected a path"):
        image_cache.open_cache(source, side=8, kind="disk", folder=folder)


def test_a_development_kit_may_be_given_as_a_path_object(valid, tmp_path):
    (tmp_path / "devkit").mkdir()
    table = np.array([(1, "n01")], dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")]).reshape(-1, 1)
    scipy.io.savemat(tmp_path / "devkit" / "meta.mat", {"synsets": table})
    (tmp_path / "devkit" / "ILSVRC2012_validation_ground_truth.txt").write_bytes(b"\xef\xbb\xbf1\r\n")
    (tmp_path / "val" / "n01" / "1.jpg").rename(tmp_path / "val" / "ILSVRC2012_val_00000001.jpg")
    (tmp_path / "val" / "n01").rmdir()
    options = {**valid["imagenet"], "val_labels": pathlib.Path("devkit")}
    assert registry.find("datasets", "imagenet")("test", **options).names == ["val/ILSVRC2012_val_00000001.jpg"]
