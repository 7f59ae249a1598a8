import numpy as np
import pytest

from ornet_tf.datasets import _pascal_voc
from ornet_tf.errors import UserError
from ornet_tf.formats import Box, LocalizedImage, voc
from tests.formats import birds


def write(tmp_path, images=None):
    voc.write(iter(birds.images() if images is None else images), birds.CLASS_NAMES, str(tmp_path / "voc"))
    return tmp_path / "voc"


def test_the_files_are_the_golden_ones(tmp_path):
    folder = write(tmp_path)
    assert (folder / "ImageSets/Main/train.txt").read_text() == "wren/a\nsparrow/b\nwren/a_2\nwren/none\n"
    assert (folder / "labelmap.txt").read_text() == "sparrow & co:::\nwren:::\neagle:::\n"
    assert (folder / "Annotations/sparrow/b.xml").read_text() == """\
<annotation>
  <folder>sparrow</folder>
  <filename>sparrow/b.jpg</filename>
  <size>
    <width>200</width>
    <height>300</height>
    <depth>3</depth>
  </size>
  <segmented>0</segmented>
  <object>
    <name>sparrow &amp; co</name>
    <pose>Unspecified</pose>
    <truncated>0</truncated>
    <difficult>0</difficult>
    <bndbox>
      <xmin>41</xmin>
      <ymin>31</ymin>
      <xmax>140</xmax>
      <ymax>150</ymax>
    </bndbox>
  </object>
</annotation>
"""
    assert "<object>" not in (folder / "Annotations/wren/none.xml").read_text()


def test_a_box_has_at_least_one_pixel_inside_the_image(tmp_path):
    corners = [(0.0, 0.0, 0.001, 0.001), (0.999, 0.999, 1.0, 1.0), (0.5, 0.5, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0)]
    boxes = tuple(Box(each, 1, "wren", 0.5, number) for number, each in enumerate(corners, 1))
    folder = write(tmp_path, [LocalizedImage("a.jpg", "a.jpg", 1, 100, 100, boxes)])
    found = _pascal_voc.read(folder / "Annotations/a.xml").boxes - 1  # ymin, xmin, ymax, xmax, half-open
    assert found.tolist() == [[0, 0, 1, 1], [99, 99, 100, 100], [50, 50, 51, 51], [0, 0, 100, 100]]


@pytest.mark.parametrize("name", ["a: b", ":", "#c", " #c"])
def test_a_class_that_the_list_for_cvat_can_not_hold_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=f"without a colon .*, got {name!r}; choose another format, or train "):
        voc.write(birds.images(), ["wren", name], str(tmp_path / "voc"))
    assert not (tmp_path / "voc").exists()
    voc.write([], ["c #d"], str(tmp_path / "voc"))


def test_supervision_reads_the_images_of_a_folder(tmp_path):
    import supervision

    folder = write(tmp_path)
    birds.write_files(tmp_path / "birds")
    (tmp_path / "birds" / "wren" / "a.png").unlink()  # that reader takes the XML file of a.jpg for it
    dataset = supervision.DetectionDataset.from_pascal_voc(
        images_directory_path=str(tmp_path / "birds" / "wren"),
        annotations_directory_path=str(folder / "Annotations" / "wren"),
    )
    assert dataset.classes == ["wren"]
    found = {name.rpartition("/")[2]: detections for name, _, detections in dataset}
    image = birds.images()[0]
    np.testing.assert_allclose(found["a.jpg"].xyxy, [image.pixels(box) for box in image.boxes], atol=0.5)
    assert len(found["none.jpg"]) == 0
