"""An export that is loaded without a server."""
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas
import pytest
import supervision

import ornet_tf
from ornet_tf.errors import ImageRefusedError, UserError
from ornet_tf.inference import batches, encoding
from serving import loaded
from tests import source_tree
from tests.serving import tiny_contract, tiny_export


@pytest.fixture(name="base", scope="module")
def _base(tmp_path_factory):
    base = tmp_path_factory.mktemp("export")
    tiny_contract.write(base / "3")
    tiny_export.write(base / "20")
    (base / "partial-30").mkdir()
    return base


@pytest.fixture(name="model", scope="module")
def _model(base):
    return ornet_tf.load(base / "3")


def test_the_newest_version_or_the_one_that_is_named(base, model):
    assert loaded.load(str(base)).path == base / "20"
    assert model.path == base / "3"


def test_paths_bytes_and_pixels_in_batches_of_any_size(model, tmp_path):
    one, junk, both, nothing, tall = tiny_contract.images()
    path = tmp_path / "one.png"
    path.write_bytes(one)
    found = model.localize([path, junk, both, nothing, str(path), tall])
    tiny_contract.expect_same(model.localize([path, junk, both, nothing, str(path), tall], batch_size=4), found)
    assert [len(result.boxes) for result in found] == [1, 0, 2, 0, 1, 1]
    assert [result.status for result in found] == ["", tiny_contract.DAMAGED, "", "", "", ""]
    np.testing.assert_allclose(found[0].boxes, [[10 / 40, 12 / 60, 20 / 40, 48 / 60]], rtol=1e-6)
    red, green = [3 / 20, 6 / 30, 9 / 20, 27 / 30], [11 / 20, 1 / 30, 1, 2 / 30]
    np.testing.assert_allclose(found[2].boxes, [red, green], rtol=1e-6)
    assert found[2].class_names == ("rød", "green")
    assert model.localize([]) == []


def test_pixels_of_one_size_give_what_their_files_give(model, base, encode):
    both = tiny_contract.images()[2]
    batch = [both, both[::-1], both[:, ::-1]]
    expected = model.localize([encode(image) for image in batch])
    assert [len(result.boxes) for result in expected] == [2, 2, 2]
    tiny_contract.expect_same(model.localize(batch), expected)
    tiny_contract.expect_same(model.localize(batch, batch_size=2), expected)
    assert len(loaded.load(base).localize(batch)) == 3  # an export that takes files only


def test_maps_and_signatures_without_classes(model):
    image = tiny_contract.images()[2]
    grey, = model.localize([image], signature="activation_map")
    exact, = model.localize([image], signature="activation_map_float")
    assert (grey.activation_map.dtype, exact.activation_map.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(grey.activation_map, np.round(exact.activation_map * 255))
    assert grey.activation_map.shape == (4, 6) and grey.activation_map.any()
    boxes_only, = model.localize([image], signature="localize")
    assert (boxes_only.scores, boxes_only.classes, boxes_only.class_names) == (None, None, None)
    np.testing.assert_array_equal(boxes_only.boxes, grey.boxes)
    np.testing.assert_array_equal(boxes_only.box_scores, grey.box_scores)


def test_exports_of_before_status(base):
    model = loaded.load(base)
    good = tiny_export.image(40, 60, (10, 12, 20, 48))
    found, = model.localize([good])
    assert (len(found.boxes), found.class_names, found.status, found.box_scores) == (1, ("wide",), "", None)
    with pytest.raises(ImageRefusedError, match="refuses: Unknown image file format"):
        model.localize([good, b"no image"])


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("nothing", 'Serving signature name: "nothing" not found'),
        ("numbers", r"Expected a signature of encoded images, but 'numbers' of .* takes a \(float32\), b \(int64\)"),
        ("echo", "Expected detections from 'echo' of .*, but detection_boxes is missing; is it the model"),
    ],
)
def test_signatures_that_give_no_detections(base, signature, message):
    with pytest.raises(ValueError, match=message):
        loaded.load(base).localize([tiny_export.image(8, 8, (0, 0, 4, 4))], signature=signature)


def test_what_is_no_image(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="Cannot read .*missing.png: No such file or directory"):
        model.localize([tmp_path / "missing.png"])
    with pytest.raises(TypeError, match="but got float64"):
        model.localize([np.zeros([4, 4, 3])])
    with pytest.raises(ValueError, match=r"as \[H, W, 3\], but got \[4, 4\]"):
        model.localize([np.zeros([4, 4], np.uint8)] * 2)
    with pytest.raises(ValueError, match=r"Expected a signature of encoded images, but 'image_tensor'"):
        model.localize([np.zeros([4, 4, 3], np.uint8)], signature="image_tensor")


def test_one_image_instead_of_a_list(model, tmp_path):
    pixels = np.zeros([4, 4, 3], np.uint8)
    for image, kind in (("p.png", "str"), (b"", "bytes"), (tmp_path / "p.png", ".*Path"), (pixels, "ndarray")):
        with pytest.raises(TypeError, match=rf"Expected a list of .*, but got one \({kind}\); put it in"):
            model.localize(image)
    assert len(model.localize(pixels[np.newaxis])) == 1  # a batch is one


def test_what_is_no_export(base, tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="Expected an export, .* in .*, but found none; python -m"):
            loaded.load(path)
    shutil.copytree(base / "3", tmp_path / "1")
    graph = (tmp_path / "1" / "saved_model.pb").read_bytes()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"damaged" + graph)
    with pytest.raises(ValueError, match=r"The SavedModel in .*1 does not load; export it again: "):
        loaded.load(tmp_path)


def test_the_package_imports_nothing_heavy():
    program = "import sys, ornet_tf; sys.exit(bool({'tensorflow', 'keras', 'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], cwd=source_tree.ROOT, check=False).returncode == 0


def test_an_export_whose_variables_are_gone_is_said_in_a_sentence(tmp_path):
    tiny_contract.write(tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "variables")
    with pytest.raises(UserError, match="The SavedModel in .*1 does not load; export it again: ") as error:
        loaded.load(tmp_path)
    assert "experimental_io_device" not in str(error.value)


def test_several_threads_may_ask_at_once(export_base):
    model = loaded.load(export_base)
    images = tiny_contract.images() * 6
    answers = list(batches.localize_each(model, images, signature="serving_default", batch_size=2, in_flight=4))
    tiny_contract.expect_same(answers, model.localize(images))


def test_one_bad_image_among_those_of_an_export_from_before_status(older_base):
    good = tiny_export.image(40, 60, (10, 12, 20, 48))
    answers = list(batches.localize_each(loaded.load(older_base), [good, b"junk", good], signature="serving_default"))
    assert [isinstance(answer, ImageRefusedError) for answer in answers] == [False, True, False]


def test_the_lines_of_the_notebook_convert_detections(export_base, tmp_path, monkeypatch):
    code, = re.findall(r"## In a notebook\n.*?```python\n(.*?)```", source_tree.text("docs/annotations.md"), re.S)
    one, _, both, *_ = tiny_contract.images()
    (tmp_path / "images" / "wren").mkdir(parents=True)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "images" / "wren" / "a.jpg").write_bytes(encoding.encode(both))
    (tmp_path / "images" / "wren" / "b.jpg").write_bytes(one)
    (tmp_path / "runs" / "mine" / "export").symlink_to(export_base)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert isinstance(names["table"], pandas.DataFrame) and isinstance(names["detections"], supervision.Detections)
    first, table, detections = names["found"][0], names["table"], names["detections"]
    assert list(table["file"]) == names["paths"]
    assert list(table["class_name"]) == [found.class_names[0] for found in names["found"]]
    width, height = detections.xyxy[0][[0, 2]], detections.xyxy[0][[1, 3]]
    np.testing.assert_allclose(width, first.boxes[0][[1, 3]] * names["width"], rtol=1e-6)
    np.testing.assert_allclose(height, first.boxes[0][[0, 2]] * names["height"], rtol=1e-6)
    assert detections.class_id.tolist() == first.classes.tolist() and len(detections) == 2
    np.testing.assert_array_equal(detections.confidence, first.box_scores)
