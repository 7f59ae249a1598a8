"""The signatures of an export of the tiny experiment, as documented in serving/README.md."""
import numpy as np

DETECTIONS = {
    "detection_boxes": ("float32", [None, 1, 4]),
    "detection_box_scores": ("float32", [None, 1]),
    "detection_scores": ("float32", [None, 1]),
    "detection_classes": ("int64", [None, 1]),
    "detection_class_names": ("string", [None, 1]),
    "num_detections": ("int64", [None]),
    "status": ("string", [None]),
}
BOXES_ONLY = ("detection_boxes", "detection_box_scores", "num_detections", "status")
FILES, PIXELS = ("image_bytes", "string", [None]), ("image_tensor", "uint8", [None, None, None, 3])
SIGNATURES = {
    "serving_default": (FILES, DETECTIONS),
    "activation_map": (FILES, {**DETECTIONS, "activation_map_bytes": ("string", [None])}),
    "activation_map_float": (FILES, {**DETECTIONS, "activation_map": ("float32", [None, 8, 8])}),
    "image_tensor": (PIXELS, DETECTIONS),
    "localize": (FILES, {name: DETECTIONS[name] for name in BOXES_ONLY}),
}


def expect_same(actual, expected):
    """Fails unless the outputs are equal, floats up to rounding."""
    assert set(actual) == set(expected)
    for name, value in expected.items():
        if value.dtype.is_floating:
            np.testing.assert_allclose(actual[name], value, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(actual[name], value, err_msg=name)
