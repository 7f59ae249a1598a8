"""The contract of any server with an export, part 3: what is said of images, good and bad, few and many at once."""
import base64
import concurrent.futures
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.serving import tiny_export
from tests.serving.contract_server import b64

pytestmark = pytest.mark.slow
BOXES_ONLY = {"detection_boxes", "detection_box_scores", "num_detections", "status"}
KEYS = BOXES_ONLY | {"detection_scores", "detection_classes", "detection_class_names"}
SIGNATURES = {
    "serving_default": KEYS,
    "activation_map": KEYS | {"activation_map_bytes"},
    "activation_map_float": KEYS | {"activation_map"},
    "localize": BOXES_ONLY,
}


def photograph(height, width, seed=0):
    """Returns pixels with a bright ellipse, uint8 [height, width, 3]."""
    rows, columns = np.mgrid[:height, :width]
    inside = (rows / height - 0.45) ** 2 / 0.09 + (columns / width - 0.55) ** 2 / 0.04 < 1
    noise = np.random.default_rng(seed).integers(0, 60, [height, width, 3])
    return (noise + inside[..., None] * [190, 60, 20]).astype(np.uint8)


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


GOOD = [jpeg(photograph(120, 90)), tiny_export.image(40, 60, (10, 12, 20, 48)), jpeg(photograph(64, 64)[..., 0])]
BAD = {
    "an empty file": b"",
    "neither": b"no image",
    "truncated or damaged JPEG": GOOD[0][:-400],
    "truncated or damaged PNG": GOOD[1][:-20],
    "GIF": b"GIF89a" + bytes(40),
    "pixels": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (2**30).to_bytes(4, "big") * 2 + bytes(20),
}


def strict(text):
    """Returns parsed JSON; fails on NaN and the infinities, which the standard does not have."""

    def refuse(name):
        pytest.fail(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def localize(served, images, signature="serving_default", connection=None):
    """Returns a row for each image."""
    asked = {"signature_name": signature, "instances": [b64(image) for image in images]}
    reply = served.predict(asked, connection=connection)
    assert reply.status == 200, reply.body[:1000]
    rows = strict(reply.body)["predictions"]
    assert len(rows) == len(images)
    return rows


def expect_detections(row):
    """Fails unless a row without a map is one of a image that was read, padded as the contract says."""
    boxes, count = np.array(row["detection_boxes"]), row["num_detections"]
    most = len(boxes)
    assert boxes.shape == (most, 4)
    assert row["status"] == ""
    assert 0 <= count <= most
    assert np.all((boxes >= 0) & (boxes <= 1))
    assert np.all(boxes[:count, :2] <= boxes[:count, 2:])
    assert not boxes[count:].any()
    box_scores = row["detection_box_scores"]
    assert len(box_scores) == most and all(0 <= score <= 1 for score in box_scores)
    assert box_scores[count:] == [0.0] * (most - count)
    if "detection_scores" in row:
        scores, classes, names = (row[f"detection_{key}"] for key in ("scores", "classes", "class_names"))
        assert len(scores) == len(classes) == len(names) == most
        assert all(isinstance(number, int) for number in classes)
        assert all(0 < score <= 1 for score in scores[:count])
        assert all(number >= 0 for number in classes[:count])
        assert all(names[:count])
        assert (scores[count:], classes[count:]) == ([0.0] * (most - count), [-1] * (most - count))
        assert names[count:] == [""] * (most - count)


def expect_none(row):
    """Fails unless a row is one of a image that could not be read."""
    assert row["status"]
    assert row["num_detections"] == 0
    expect_detections({**row, "status": ""})


def decoded(row):
    """Returns the map of a row of the signature activation_map, float [h, w] in 0..1."""
    ((key, text),) = row["activation_map_bytes"].items()
    assert key == "b64"
    image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    assert (image.format, image.mode) == ("PNG", "L")
    return np.array(image) / 255.0


@pytest.fixture(name="answers", scope="module")
def _answers(served):
    """What each signature says of all good and bad images, sent together."""
    return {name: localize(served, [*GOOD, *BAD.values()], name) for name in SIGNATURES}


@pytest.mark.parametrize("signature", SIGNATURES)
def test_each_image_has_a_row_of_its_own_kind(answers, signature):
    rows = answers[signature]
    for row in rows:
        assert set(row) == SIGNATURES[signature]
    for row in rows[: len(GOOD)]:
        expect_detections(row)
    for word, row in zip(BAD, rows[len(GOOD) :]):
        expect_none(row)
        assert word in row["status"]
    shared = [{key: row[key] for key in SIGNATURES["localize"]} for row in rows]
    for one, other in zip(shared, answers["localize"]):
        assert one["status"] == other["status"]
        assert one["num_detections"] == other["num_detections"]
        np.testing.assert_allclose(one["detection_boxes"], other["detection_boxes"], atol=1e-5)


def test_maps_are_images_or_numbers(answers):
    for as_file, as_numbers in zip(answers["activation_map"], answers["activation_map_float"]):
        exact = np.array(as_numbers["activation_map"])
        assert exact.ndim == 2
        assert np.all((exact >= 0) & (exact <= 1))
        np.testing.assert_allclose(decoded(as_file), exact, atol=0.51 / 255)
    bad = answers["activation_map_float"][len(GOOD) :]
    assert not any(np.any(row["activation_map"]) for row in bad)


def test_bad_images_do_not_disturb_the_good_ones(served, answers):
    for row, together in zip(localize(served, GOOD), answers["serving_default"]):
        assert (row["num_detections"], row["detection_classes"]) == (
            together["num_detections"], together["detection_classes"],
        )  # fmt: skip
        for key in ("detection_boxes", "detection_scores"):
            np.testing.assert_allclose(row[key], together[key], atol=1e-5)
    for row in localize(served, list(BAD.values())):
        expect_none(row)


def test_pixels_are_a_image_without_its_file(served):
    pixels = photograph(40, 56)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    (expected,) = localize(served, [file.getvalue()])
    reply = served.predict({"signature_name": "image_tensor", "inputs": [pixels.tolist()] * 2})
    outputs = strict(reply.body)["outputs"]
    assert set(outputs) == KEYS
    assert outputs["status"] == ["", ""]
    assert outputs["detection_class_names"] == [expected["detection_class_names"]] * 2
    for key in ("detection_boxes", "detection_scores"):
        np.testing.assert_allclose(outputs[key], [expected[key]] * 2, atol=1e-5)


def test_columns_hold_what_rows_hold(served, answers):
    images = [b64(image) for image in [*GOOD, *BAD.values()]]
    outputs = strict(served.predict({"signature_name": "activation_map", "inputs": images}).body)["outputs"]
    rows = [dict(zip(outputs, values)) for values in zip(*outputs.values())]
    assert rows == answers["activation_map"]


def test_large_batches_and_large_images(served, answers):
    many = localize(served, [GOOD[1]] * 64, "activation_map_float")
    assert {json.dumps(row["status"]) for row in many} == {'""'}
    for row in many:
        np.testing.assert_allclose(row["detection_boxes"], answers["serving_default"][1]["detection_boxes"], atol=1e-5)
    large = jpeg(np.tile(photograph(200, 300), [10, 10, 1]))
    assert len(large) > 2**20
    for row in localize(served, [large, large]):
        expect_detections(row)


def test_clients_at_once_get_their_own_answers(served):
    images = [tiny_export.image(32, 32, (0, 0, 8 + 4 * i, 32 - 4 * i)) for i in range(5)]
    expected = localize(served, images)
    assert len({json.dumps(row["detection_scores"] + row["detection_boxes"]) for row in expected}) > 1

    def ask(place):
        connection = served.connection()
        try:
            rows = [localize(served, [images[place]], connection=connection)[0] for _ in range(2)]
        finally:
            connection.close()
        return rows

    with concurrent.futures.ThreadPoolExecutor(len(images)) as pool:
        for rows, row in zip(pool.map(ask, range(len(images))), expected):
            for own in rows:
                assert own["detection_class_names"] == row["detection_class_names"]
                for key in ("detection_boxes", "detection_scores"):
                    np.testing.assert_allclose(own[key], row[key], atol=1e-5)
