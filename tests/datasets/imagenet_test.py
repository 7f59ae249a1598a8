"""ImageNet's folders: the splits, labels from four kinds of files, exact boxes, the messages."""
import numpy as np
import pytest
import scipy.io

from ornet_tf.data.source import SPLITS, MissingSplit
from ornet_tf.datasets import imagenet
from ornet_tf.errors import UserError
from tests.datasets import config_source

WNIDS = ("n01440764", "n01443537", "n02012849")
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
# As in ILSVRC2012: validation image 83 is 500 x 375 and its box covers all of it; 87 is 120 x 90.
VAL = {1: ("n02012849", [(111, 108, 441, 193)]), 83: ("n01440764", [(0, 0, 499, 374)]),
       87: ("n01443537", [(12, 0, 119, 89), (0, 1, 2, 3)])}  # fmt: skip
HALF_OPEN = [[[108, 111, 194, 442]], [[0, 0, 375, 500]], [[0, 12, 90, 120], [1, 0, 4, 3]]]


def xml(wnid, boxes):
    objects = "".join(
        f"<object><name>{wnid}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>" for a, b, c, d in boxes
    )
    return f"<annotation><size><width>500</width></size>{objects}</annotation>"


@pytest.fixture
def tree(tmp_path):
    """Three classes of four training images, val/ without subfolders, XML files and Kaggle's tables."""
    for wnid in WNIDS:
        (tmp_path / "Data" / "train" / wnid).mkdir(parents=True)
        (tmp_path / "Annotations" / "train" / wnid).mkdir(parents=True)
        for number in (7, 10, 33, 40):
            (tmp_path / "Data" / "train" / wnid / f"{wnid}_{number}.JPEG").write_bytes(b"")
        (tmp_path / "Annotations" / "train" / wnid / f"{wnid}_7.xml").write_text(xml(wnid, [(1, 2, 3, 4)]))
    (tmp_path / "Data" / "train" / ".DS_Store").mkdir()
    (tmp_path / "Data" / "val").mkdir()
    (tmp_path / "Annotations" / "val").mkdir()
    rows = ["ImageId,PredictionString"]
    for number, (wnid, boxes) in sorted(VAL.items(), reverse=True):
        (tmp_path / "Data" / "val" / f"ILSVRC2012_val_{number:08d}.JPEG").write_bytes(b"")
        (tmp_path / "Annotations" / "val" / f"ILSVRC2012_val_{number:08d}.xml").write_text(xml(wnid, boxes))
        rows.append(f"ILSVRC2012_val_{number:08d}," + "".join(f"{wnid} {a} {b} {c} {d} " for a, b, c, d in boxes))
    (tmp_path / "LOC_val_solution.csv").write_text("\n".join(rows) + "\n")
    names = ("tench, Tinca tinca", "goldfish, Carassius auratus", "crane")
    (tmp_path / "LOC_synset_mapping.txt").write_text("".join(f"{w} {n}\n" for w, n in zip(WNIDS, names)))
    return tmp_path


def development_kit(folder):
    """Writes a development kit whose class numbers have another order than the wnids, as in the real one."""
    numbers = {"n02012849": 1, "n01440764": 2, "n01443537": 3}
    (folder / "devkit" / "data").mkdir(parents=True)
    rows = [(number, wnid, "words") for wnid, number in numbers.items()]
    table = np.array(rows, dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]).reshape(-1, 1)
    scipy.io.savemat(folder / "devkit" / "data" / "meta.mat", {"synsets": table}, do_compression=True)
    lines = [str(numbers[VAL[n][0]]) if n in VAL else "1" for n in range(1, 101)]
    (folder / "devkit" / "data" / TRUTH).write_text("\n".join(lines))
    return folder / "devkit"


def sorted_into_folders(tree):
    for number, (wnid, _) in VAL.items():
        path = tree / "Data" / "val" / f"ILSVRC2012_val_{number:08d}.JPEG"
        (tree / "Data" / "val" / wnid).mkdir()
        path.rename(tree / "Data" / "val" / wnid / path.name)


def test_training_images_have_the_class_of_their_folder_and_no_boxes(tree):
    source = imagenet.load("train", root=tree / "Data", boxes=tree / "Annotations")
    assert (len(source), list(source.class_names), source.boxes) == (12, list(WNIDS), None)
    assert source.names[4] == "train/n01443537/n01443537_10.JPEG"
    assert source.images[4] == f"{tree}/Data/train/n01443537/n01443537_10.JPEG"
    np.testing.assert_array_equal(source.labels, np.repeat([0, 1, 2], 4))
    assert source.labels.dtype == np.int32


def test_class_names_come_from_the_synset_mapping(tree):
    source = imagenet.load("train", root=tree / "Data", synsets=tree / "LOC_synset_mapping.txt")
    assert source.class_names == ["tench", "goldfish", "crane"]
    np.testing.assert_array_equal(source.labels, np.repeat([0, 1, 2], 4))


@pytest.mark.parametrize("kind", ["csv", "devkit", "xml", "folders"])
def test_all_kinds_of_files_give_the_same_labels_and_boxes_of_val(tree, kind):
    options = {"boxes": tree / "Annotations"}
    if kind == "csv":
        options = {"val_labels": tree / "LOC_val_solution.csv"}  # labels and boxes
    elif kind == "devkit":
        options["val_labels"] = development_kit(tree)
    elif kind == "folders":
        sorted_into_folders(tree)
    source = imagenet.load("test", root=tree / "Data", **options)
    found = dict(zip((name.rsplit("/", 1)[-1] for name in source.names), zip(source.labels, source.boxes)))
    for (number, (wnid, _)), boxes in zip(sorted(VAL.items()), HALF_OPEN):
        label, got = found[f"ILSVRC2012_val_{number:08d}.JPEG"]
        assert WNIDS[label] == wnid
        np.testing.assert_array_equal(got, boxes)
        assert got.dtype == np.float32
    assert len(found) == 3 and sorted(source.names) == list(source.names)


def test_validation_is_held_out_of_train_by_name_and_has_boxes(tree):
    def names(split, seed=0):
        return set(imagenet.load(split, root=tree / "Data", validation_per_class=2, validation_seed=seed).names)

    whole = set(imagenet.load("train", root=tree / "Data").names)
    validation = imagenet.load("validation", root=tree / "Data", boxes=tree / "Annotations", validation_per_class=2)
    assert names("train") | set(validation.names) == whole and not names("train") & set(validation.names)
    np.testing.assert_array_equal(np.bincount(validation.labels), [2, 2, 2])
    assert len({frozenset(names("validation", seed)) for seed in range(8)}) > 3
    for name, boxes in zip(validation.names, validation.boxes):
        np.testing.assert_array_equal(boxes, [[2, 1, 5, 4]] if name.endswith("_7.JPEG") else np.zeros([0, 4]))
    assert any(len(boxes) for boxes in validation.boxes)
    # The images with the smallest SHA-256 of "seed/name" are chosen. Another rule would change the splits of old runs.
    chosen = sorted(name for name in names("validation") if "n01440764" in name)
    assert chosen == ["train/n01440764/n01440764_33.JPEG", "train/n01440764/n01440764_40.JPEG"]


def test_a_byte_order_mark_and_windows_line_ends_are_read(tree):
    development_kit(tree)
    for path in (*tree.rglob("*.txt"), *tree.rglob("*.csv"), *tree.rglob("*.xml")):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    options = {"root": tree / "Data", "boxes": tree / "Annotations", "synsets": tree / "LOC_synset_mapping.txt"}
    for labels in (tree / "LOC_val_solution.csv", tree / "devkit"):
        source = imagenet.load("test", val_labels=labels, **options)
        assert source.class_names == ["tench", "goldfish", "crane"]
        np.testing.assert_array_equal(source.labels, [2, 0, 1])
        np.testing.assert_array_equal(source.boxes[0], HALF_OPEN[0])


def test_images_without_an_xml_file_have_no_box(tree):
    (tree / "Annotations" / "val" / "ILSVRC2012_val_00000083.xml").unlink()
    source = imagenet.load(
        "test", root=tree / "Data", boxes=tree / "Annotations", val_labels=tree / "LOC_val_solution.csv"
    )
    assert [len(boxes) for boxes in source.boxes] == [1, 0, 2]
    sorted_into_folders(tree)
    assert imagenet.load("test", root=tree / "Data").boxes is None


def edit(path, old, new):
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


@pytest.mark.parametrize(
    ("break_it", "options", "error", "message"),
    [
        (lambda t: None, {"val_labels": None, "boxes": None}, ValueError, "val, got none; set val_labels"),
        (lambda t: edit(t / "LOC_val_solution.csv", "12 0 119", "12 0"), {}, ValueError, "csv, line 2: expected"),
        (lambda t: edit(t / "LOC_val_solution.csv", "n01440764 0", "n01440764 x"), {}, ValueError, "csv, line 3: exp"),
        (lambda t: edit(t / "LOC_val_solution.csv", "_00000083", "_00000087"), {}, ValueError, "line 3: .* once, got"),
        (lambda t: edit(t / "LOC_val_solution.csv", "_00000083", "_00000084"), {}, ValueError, "none for .*00000083"),
        (lambda t: edit(t / "LOC_val_solution.csv", "n01440764", "n09"), {}, ValueError, "083.* 3 classes, got 'n09"),
        (lambda t: (t / "LOC_val_solution.csv").unlink(), {}, FileNotFoundError, "LOC_val_solution.csv: no such file"),
        (lambda t: edit(t / "LOC_synset_mapping.txt", " goldfish, Carassius auratus", ""), {"synsets": "{}/LOC_synset"
         "_mapping.txt"}, ValueError, "mapping.txt, line 2: expected '<wnid> <names>'"),
        (lambda t: None, {"boxes": "{}/nowhere"}, FileNotFoundError, "nowhere: no such file or folder"),
        (lambda t: None, {"val_labels": "{}/Data"}, FileNotFoundError, "meta.mat: no such file.*development kit"),
        (lambda t: (t / "Annotations/val/ILSVRC2012_val_00000001.xml").write_text("<a>"), {"boxes": "{}/Annotations"},
         ValueError, "00000001.xml: expected an XML file"),
        (lambda t: edit(t / "Annotations/val/ILSVRC2012_val_00000001.xml", "111", ""), {"boxes": "{}/Annotations"},
         ValueError, "00000001.xml: expected numbers as ymin, xmin"),
        (lambda t: (development_kit(t) / "data" / TRUTH).write_text("1\n\u00b2\n", "utf-8"),
         {"val_labels": "{}/devkit"}, ValueError, "ground_truth.txt, line 2: expected a number of meta.mat"),
    ],
)  # fmt: skip
def test_wrong_files_and_options_are_explained_in_one_line(tree, break_it, options, error, message):
    break_it(tree)
    options = {"val_labels": "{}/LOC_val_solution.csv", **options}
    options = {key: value and value.format(tree) for key, value in options.items()}
    with pytest.raises(error, match=message) as caught:
        imagenet.load("test", root=tree / "Data", **options)
    assert "\n" not in str(caught.value)


def test_a_split_without_images_is_another_error_than_missing_folders(tree):
    with pytest.raises(MissingSplit, match="validation split has no images. Set validation_per_class"):
        imagenet.load("validation", root=tree / "Data")
    with pytest.raises(FileNotFoundError, match="train: no such folder; expected root"):
        imagenet.load("train", root=tree)
    with pytest.raises(ValueError, match="below 4, the number of training images of class n01440764, got 4"):
        imagenet.load("train", root=tree / "Data", validation_per_class=4)
    with pytest.raises(UserError, match="validation_per_class to be a whole number, got 0.5"):
        imagenet.load("train", root=tree / "Data", validation_per_class=0.5)


def test_the_configuration_loads_the_data_set(tree):
    paths = {"root": tree / "Data", "boxes": tree / "Annotations", "val_labels": tree / "LOC_val_solution.csv"}
    options = {**paths, "synsets": tree / "LOC_synset_mapping.txt", "validation_per_class": 1}
    counts = [len(config_source.load("imagenet_folders", split, **options)) for split in SPLITS]
    assert counts == [9, 3, 3]
    np.testing.assert_array_equal(config_source.load("imagenet_folders", "test", **options).boxes[0], HALF_OPEN[0])
