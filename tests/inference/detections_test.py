import json

import numpy as np
import pytest
from PIL import Image

from ornet_tf.inference import detections

BOXES = [[[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 1.0]]] * 2
OUTPUTS = {
    "detection_boxes": BOXES,
    "detection_box_scores": [[0.9, 0.7], [0.1, 0.0]],
    "detection_scores": [[0.75, 0.25], [0.5, 0.0]],
    "detection_classes": [[3, 1], [0, -1]],
    "detection_class_names": [["wren", "owl"], [b"caf\xc3\xa9", b""]],
    "num_detections": [2, 1],
    "status": ["", b""],
}


def test_rows_after_the_number_of_detections_are_dropped():
    two, one = detections.from_outputs(OUTPUTS, 2)
    assert (two.boxes.shape, one.boxes.shape) == ((2, 4), (1, 4))
    assert (two.boxes.dtype, two.scores.dtype, two.classes.dtype) == (np.float32, np.float32, np.int64)
    assert (two.class_names, one.class_names) == (("wren", "owl"), ("café",))
    assert (one.classes.tolist(), one.status, one.activation_map) == ([0], "", None)
    assert one.box_scores.dtype == np.float32 and [len(two.box_scores), len(one.box_scores)] == [2, 1]


def test_an_unreadable_image_has_only_a_status():
    result = detections.from_outputs({**OUTPUTS, "num_detections": [0, 1], "status": [b"truncated PNG", ""]}, 2)[0]
    assert (result.status, len(result.boxes), result.class_names) == ("truncated PNG", 0, ())
    assert result.as_dict() == {"box": None}


def test_every_row_of_an_old_export_without_num_detections_is_a_detection():
    older = {name: OUTPUTS[name] for name in ("detection_boxes", *detections.CLASS_OUTPUTS)}
    results = detections.from_outputs(older, 2)
    assert [len(result.scores) for result in results] == [2, 2]
    assert [result.box_scores for result in results] == [None, None] and "box_score" not in results[0].as_dict()


def test_as_dict_gives_json_with_short_numbers():
    two, one = (json.loads(json.dumps(result.as_dict())) for result in detections.from_outputs(OUTPUTS, 2))
    assert one == {"box": [0.1, 0.2, 0.5, 0.6], "box_score": 0.1, "score": 0.5, "class": 0, "class_name": "café"}
    assert (two["class_name"], two["others"]) == ("wren", [
        {"box": [0, 0, 1, 1], "box_score": 0.7, "score": 0.25, "class": 1, "class_name": "owl"}
    ])  # fmt: skip
    outputs = {name: OUTPUTS[name] for name in ("detection_boxes", "detection_box_scores")}
    boxes_only = detections.from_outputs({**outputs, "num_detections": [1, 1]}, 2)[0]
    assert boxes_only.as_dict() == {"box": [0.1, 0.2, 0.5, 0.6], "box_score": 0.9}


def test_an_image_without_a_box_that_is_sure_enough_has_an_empty_status():
    result = detections.from_outputs({**OUTPUTS, "num_detections": [0, 1]}, 2)[0]
    assert (result.status, len(result.boxes), len(result.box_scores)) == ("", 0, 0)
    assert result.as_dict() == {"box": None}


def test_activation_maps_are_uint8_from_png_and_float32_from_numbers(encode):
    grey = np.arange(12, dtype=np.uint8).reshape([3, 4])
    first, second = detections.from_outputs({**OUTPUTS, "activation_map_bytes": [encode(grey), b""]}, 2)
    np.testing.assert_array_equal(first.activation_map, grey)
    assert first.activation_map.dtype == np.uint8 and second.activation_map is None
    floats = detections.from_outputs({**OUTPUTS, "activation_map": np.full([2, 3, 4], 0.25)}, 2)[1].activation_map
    assert floats.dtype == np.float32 and floats.shape == (3, 4) and (floats == 0.25).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detection_boxes": [[[0, 0, 1]]] * 2}, r"detection_boxes .* \[2, 1, 3\] .* \[2, any, 4\]"),
        ({"detection_boxes": [[[0, 0, 1, 1]], []]}, "detection_boxes .* tensor"),
        ({"detection_boxes": BOXES[:1]}, "detection_boxes .* shape"),
        ({"detection_scores": [["a", "b"]] * 2}, "detection_scores .* tensor"),
        ({"detection_box_scores": [[0.5], [0.5]]}, "detection_box_scores .* shape"),
        ({"detection_box_scores": "sure"}, "detection_box_scores .* tensor"),
        ({"detection_classes": [1, 2]}, "detection_classes .* shape"),
        ({"num_detections": [1]}, "num_detections .* shape"),
        ({"activation_map_bytes": [b"no PNG", b""]}, "activation_map_bytes .* PNG"),
        ({"activation_map_bytes": ["text", ""]}, "activation_map_bytes .* PNG"),
        ({"num_detections": [1e400, 1]}, "num_detections .* int64"),
        ({"num_detections": [10**23, 1]}, "num_detections .* int64"),
        ({"num_detections": np.array([np.inf, 1])}, "num_detections .* int64"),
        ({"detection_boxes": [[[0, 0, 10**400, 1]]] * 2}, "detection_boxes .* float32"),
        ({"detection_scores": np.full([2, 2], 1e39)}, "detection_scores .* float32"),
    ],
)
def test_wrong_outputs_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        detections.from_outputs({**OUTPUTS, **change}, 2)


def test_an_activation_map_with_too_many_pixels_is_refused(encode, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    large = encode(np.zeros([20, 11], np.uint8))
    with pytest.raises(ValueError, match="activation_map_bytes .* too many pixels"):
        detections.from_outputs({**OUTPUTS, "activation_map_bytes": [large, b""]}, 2)


def test_a_damaged_activation_map_is_read_or_raises_value_error(encode):
    pixels = np.random.default_rng(0).integers(0, 256, [30, 40], np.uint8)
    png = np.frombuffer(encode(pixels), np.uint8)
    header = png[:33]  # the signature and the chunk IHDR
    refused = 0
    for place in range(len(header), len(header) + 8):  # length and name of the chunk that follows
        for value in range(0, 256, 5):
            damaged = png.copy()
            damaged[place] = value
            try:
                detections.from_outputs({**OUTPUTS, "activation_map_bytes": [damaged.tobytes(), b""]}, 2)
            except ValueError as error:
                assert str(error).startswith("activation_map_bytes holds ")
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("name", ["detection_boxes", *detections.CLASS_OUTPUTS])
def test_a_missing_output_is_named(name):
    with pytest.raises(ValueError, match=f"{name} is missing"):
        detections.from_outputs({key: value for key, value in OUTPUTS.items() if key != name}, 2)
