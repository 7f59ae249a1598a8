"""The batches of evaluation: images, boxes and masks in the evaluation view."""
import numpy as np
import pytest
from PIL import Image

from ornet_tf.data import evaluation_pipeline
from tests.data.drawn_images import source_of

RESIZE, CROP = 24, 20


def evaluation(source, **changes):
    options = {"batch_size": 4, "resize": RESIZE, "crop": CROP, **changes}
    return list(evaluation_pipeline.evaluation_batches(source, **options).as_numpy_iterator())


def test_evaluation_keeps_the_order_and_the_last_partial_batch(source):
    batches = evaluation(source)
    assert [len(batch["image"]) for batch in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([batch["index"] for batch in batches]), np.arange(10))
    np.testing.assert_array_equal(np.concatenate([batch["label"] for batch in batches]), source.labels)
    types = {key: (value.dtype, value.shape[1:]) for key, value in batches[0].items()}
    assert types == {
        "image": (np.float32, (CROP, CROP, 3)), "label": (np.int32, ()), "index": (np.int64, ()),
        "boxes": (np.float32, (1, 4)), "whole_boxes": (np.float32, (1, 4)),
    }
    assert not any(batch["boxes"].any() for batch in batches)  # the source has none


def test_evaluation_images_are_centre_crops(source, images):
    start, found = (RESIZE - CROP) // 2, evaluation(source, batch_size=10)[0]["image"]
    for index in (0, 2, 4, 6, 8):
        resized = Image.fromarray(images[index]).resize((RESIZE, RESIZE), Image.Resampling.BILINEAR)
        expected = np.asarray(resized)[start:start + CROP, start:start + CROP].astype(int)
        assert np.abs(found[index] - expected).max() <= 1


def test_evaluation_boxes_are_moved_clipped_and_padded(images, encode):
    rotated = Image.Exif()
    rotated[0x0112] = 6  # stored 40 wide and 30 high, upright 30 wide and 40 high
    large = np.repeat(np.repeat(images[0], 9, axis=0), 9, axis=1)  # decoded at a quarter of its size
    files = [encode(images[0]), encode(images[0], "JPEG", exif=rotated.tobytes()), encode(images[1]),
             encode(large, "JPEG", exif=rotated.tobytes())]
    boxes = [
        np.array([[6, 10, 20, 31], [0, 0, 30, 40]], np.float32),
        np.array([[6, 10, 20, 30]], np.float32),
        np.array([[0, 0, 24, 2], [0, 0, 24, 3], [4, 5, 4.5, 5.5]], np.float32),  # the first lies left of the crop
        np.array([[54, 90, 180, 270]], np.float32),
    ]
    batch = evaluation(source_of(files, boxes))[0]
    found, expected, whole = batch["boxes"], np.zeros((4, 3, 4)), np.zeros((4, 3, 4))
    for image, (height, width) in enumerate([(30, 40), (40, 30), (24, 24), (360, 270)]):
        for row, box in enumerate(boxes[image].astype(np.float64)):
            resized = box / [height, width, height, width] * RESIZE
            whole[image, row] = (resized - (RESIZE - CROP) / 2) / CROP
    expected = np.clip(whole, 0, 1)
    expected[2, 0] = whole[2, 0]  # it stays ground truth, which no prediction in the view matches
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(batch["whole_boxes"], whole, atol=1e-6)
    assert whole[0, 1].tolist() != [0, 0, 1, 1]
    assert found[2, 0, 3] <= 0 < found[2, 0, 2] - found[2, 0, 0]
    assert not found[1, 1:].any()
    assert found[0, 1].tolist() == [0, 0, 1, 1]
    assert np.abs(batch["image"][3] - batch["image"][1]).mean() < 20  # JPEG compression changes noise


@pytest.mark.parametrize("resize", [RESIZE, CROP])
def test_masks_are_resized_and_cropped_as_their_images(images, encode, resize):
    grey = [image[..., 0] for image in images]
    source = source_of([encode(image) for image in images], masks=[encode(mask) for mask in grey])
    found = np.concatenate([batch["mask"] for batch in evaluation(source, resize=resize)])
    assert (found.dtype, found.shape) == (np.uint8, (10, CROP, CROP))
    for mask, view in zip(grey, found):
        start = (resize - CROP) // 2
        rows, columns = ((start + np.arange(CROP)) * side // resize for side in mask.shape)
        np.testing.assert_array_equal(view, mask[rows][:, columns] > 127)
    batch = evaluation(source.select([4, 2]))[0]
    np.testing.assert_array_equal(batch["mask"][1], evaluation(source)[0]["mask"][2])


def test_masks_are_resized_as_by_opencv(encode):
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless, the oracle")
    rng = np.random.default_rng(0)
    for shape in [(333, 500), (500, 375), (100, 101), (224, 224), (7, 9)]:
        mask = np.uint8(255 * (rng.random(shape) < 0.5))
        source = source_of([encode(np.zeros([*shape, 3], np.uint8))], masks=[encode(mask)])
        found = evaluation(source, resize=224, crop=224)[0]["mask"][0]
        expected = cv2.resize(mask / 255.0, (224, 224), interpolation=cv2.INTER_NEAREST) > 0.5
        np.testing.assert_array_equal(found, expected)


def test_another_number_of_masks_than_images_is_refused():
    with pytest.raises(ValueError, match="Source.masks has 1 entries for 2 images"):
        source_of([b"a", b"b"], masks=[b"c"])


@pytest.mark.parametrize("masks", [["a.png", b"b"], [None, None]])
def test_masks_are_all_paths_or_all_files(encode, masks):
    files = [encode(np.zeros([4, 4, 3], np.uint8))] * 2
    with pytest.raises(TypeError, match="Source.masks must be all paths"):
        evaluation(source_of(files, masks=masks))


@pytest.mark.parametrize(
    ("changes", "message"), [({"batch_size": 0}, "batch_size must be at least 1"), ({"crop": 25}, "crop must lie")]
)
def test_arguments_out_of_range_are_errors(source, changes, message):
    with pytest.raises(ValueError, match=message):
        evaluation(source, **changes)
