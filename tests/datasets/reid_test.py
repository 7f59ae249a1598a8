"""Market-1501, DukeMTMC-reID and MSMT17: persons by file name, images without person, validation, the messages."""
import numpy as np
import pytest

from ornet_tf.data.source import SPLITS, MissingSplit
from ornet_tf.datasets import reid
from ornet_tf.errors import UserError
from tests.datasets import config_source

MARKET = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0002_c1s1_000551_01.jpg", "0002_c2s1_000301_01.jpg",
                           "0007_c3s3_077419_03.jpg", "0007_c1s6_028546_01.jpg", "0010_c5s3_065187_01.jpg"],
    "bounding_box_test": ["-1_c1s1_000401_03.jpg", "0000_c1s1_000151_01.jpg", "0003_c4s6_015641_02.jpg",
                          "0001_c1s1_001051_03.jpg", "Thumbs.db"],
    "query": ["0001_c1s1_001051_00.jpg", "0003_c1s6_015971_00.jpg"],
}  # fmt: skip
DUKE = {
    "bounding_box_train": ["0001_c2_f0046182.jpg", "0001_c2_f0046302.jpg", "0000_c2_f0046182.jpg"],
    "bounding_box_test": ["0002_c1_f0044158.jpg"],
    "query": ["0005_c2_f0046985.jpg"],
}
MSMT = {
    "list_train.txt": ["0000/0000_000_01_0303morning_0015_0.jpg 0", "0001/0001_002_01_0303morning_0034_0.jpg 1",
                       "0000/0000_001_14_0303noon_0123_1.jpg 0"],
    "list_val.txt": ["0001/0001_005_03_0303afternoon_0001_2.jpg 1"],
    "list_query.txt": ["0000/0000_000_02_0302morning_0001_1.jpg 0"],
    "list_gallery.txt": ["0002/0002_003_02_0302noon_0001_1.jpg 2", "0000/0000_007_08_0302noon_0009_1.jpg 0"],
}  # fmt: skip


def write(root, folders):
    for folder, files in folders.items():
        (root / folder).mkdir()
        for file in files:
            (root / folder / file).write_bytes(b"")
    return root


def write_msmt(root, train="train", test="test"):
    for folder in (train, test):
        (root / folder).mkdir()
    for file, lines in MSMT.items():
        (root / file).write_text("\n".join(lines) + "\n")
    return root


def test_images_without_person_and_distractors_of_market_are_left_out(tmp_path):
    root = write(tmp_path, MARKET)
    train, test = reid.load("train", root=root), reid.load("test", root=root)
    assert train.names == sorted(f"bounding_box_train/{file}" for file in MARKET["bounding_box_train"])
    assert (train.class_names, test.class_names) == (["0002", "0007", "0010"], ["0001", "0003"])
    np.testing.assert_array_equal(train.labels, [0, 0, 0, 1, 1, 2])
    assert train.images[0] == f"{root}/bounding_box_train/0002_c1s1_000451_03.jpg"
    assert (train.boxes, test.boxes) == (None, None)
    assert test.names == [
        "bounding_box_test/0001_c1s1_001051_03.jpg", "bounding_box_test/0003_c4s6_015641_02.jpg",
        "query/0001_c1s1_001051_00.jpg", "query/0003_c1s6_015971_00.jpg",
    ]
    np.testing.assert_array_equal(test.labels, [0, 1, 0, 1])


def test_in_duke_0000_is_a_person(tmp_path):
    train = reid.load("train", root=write(tmp_path, DUKE), layout="dukemtmc")
    assert train.class_names == ["0000", "0001"]
    np.testing.assert_array_equal(train.labels, [0, 1, 1])


@pytest.mark.parametrize("seed", range(4))
def test_validation_has_persons_with_enough_images(tmp_path, seed):
    options = {"root": write(tmp_path, MARKET), "validation_per_class": 1, "validation_seed": seed}
    train, validation = reid.load("train", **options), reid.load("validation", **options)
    assert train.class_names == validation.class_names == ["0002", "0007", "0010"]
    np.testing.assert_array_equal(validation.labels, [0, 1])  # 0010 has one image, which stays
    assert sorted([*train.names, *validation.names]) == reid.load("train", root=tmp_path).names


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("mask_train_v2", "mask_test_v2")])
def test_msmt_has_lists_and_an_official_validation_split(tmp_path, train, test):
    options = {"root": write_msmt(tmp_path, train, test), "layout": "msmt17"}
    source, validation, query = (reid.load(split, **options) for split in ("train", "validation", "test"))
    assert source.names[0] == f"{train}/0000/0000_000_01_0303morning_0015_0.jpg"
    np.testing.assert_array_equal(source.labels, [0, 0, 1])
    assert source.class_names == validation.class_names == ["0000", "0001"]
    np.testing.assert_array_equal(validation.labels, [1])
    assert query.class_names == ["0000", "0002"]
    assert query.names[-1] == f"{test}/0002/0002_003_02_0302noon_0001_1.jpg"
    np.testing.assert_array_equal(query.labels, [0, 0, 1])


def test_wrong_folders_and_options_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="bounding_box_train: no such folder; correct root, or set layout"):
        reid.load("train", root=tmp_path)
    with pytest.raises(FileNotFoundError, match="train: no such folder"):
        reid.load("train", root=tmp_path, layout="msmt17")
    with pytest.raises(ValueError, match="layout to be one of market1501, dukemtmc, msmt17, got 'cuhk'"):
        reid.load("train", root=tmp_path, layout="cuhk")
    write(tmp_path, MARKET)
    with pytest.raises(MissingSplit, match="Set validation_per_class above 0"):
        reid.load("validation", root=tmp_path)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        reid.load("train", root=tmp_path, validation_per_class=-1)
    with pytest.raises(UserError, match="whole number, got 0.5"):
        reid.load("train", root=tmp_path, validation_per_class=0.5)
    (tmp_path / "query" / "person.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="query/person.jpg: expected a name that starts with an identity"):
        reid.load("test", root=tmp_path)


def test_wrong_lists_of_msmt_are_explained(tmp_path):
    write_msmt(tmp_path)
    with pytest.raises(ValueError, match="validation_per_class 0 for msmt17, got 1"):
        reid.load("train", root=tmp_path, layout="msmt17", validation_per_class=1)
    (tmp_path / "list_val.txt").write_text("0009/0009_000_01_0303noon_0001_1.jpg 9\n")
    with pytest.raises(ValueError, match="persons of the training split in validation, got 0009"):
        reid.load("validation", root=tmp_path, layout="msmt17")
    for end in ("", " \u00b2"):
        (tmp_path / "list_train.txt").write_text(f"0009/0009_000_01_0303noon_0001_1.jpg{end}\n", encoding="utf-8")
        with pytest.raises(ValueError, match="list_train.txt, line 1: expected '<file> <person>'"):
            reid.load("train", root=tmp_path, layout="msmt17")


def test_the_configuration_loads_the_data_set(tmp_path):
    root = write(tmp_path, MARKET)
    assert [len(config_source.load("reid", split, root=root)) for split in SPLITS] == [4, 2, 4]


def test_repeated_images_and_images_elsewhere_in_lists_of_msmt_are_refused(tmp_path):
    write_msmt(tmp_path)
    lines = (tmp_path / "list_query.txt").read_text()
    (tmp_path / "list_query.txt").write_bytes(b"\xef\xbb\xbf" + lines.replace("\n", "\r\n").encode())
    assert len(reid.load("test", root=tmp_path, layout="msmt17")) == 3
    (tmp_path / "list_query.txt").write_text(lines + "./" + MSMT["list_gallery.txt"][0])
    with pytest.raises(UserError, match="list_gallery.txt: expected each image once, got 'test/0002/.*' again"):
        reid.load("test", root=tmp_path, layout="msmt17")
    (tmp_path / "list_query.txt").write_text("../0000_000_02_0302morning_0001_1.jpg 0\n")
    with pytest.raises(UserError, match="list_query.txt, line 1: expected a file below .*test, .* got '../0000_0"):
        reid.load("test", root=tmp_path, layout="msmt17")
