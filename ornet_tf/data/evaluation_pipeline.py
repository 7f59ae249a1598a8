"""Makes evaluation batches of a `Source`: each image once, in the evaluation view, with its ground truth."""
from __future__ import annotations

import tensorflow as tf

from ornet_tf.data import decoding, image_store, input_pipeline, main_memory, masks, transforms
from ornet_tf.data.source import Source


def evaluation_batches(source: Source, *, batch_size: int, resize: int, crop: int) -> tf.data.Dataset:
    """Makes the batches of one pass over a source, in its order, each image in the evaluation view.

    Args:
      source: the images.
      batch_size: B; the last batch may be smaller.
      resize: R, side in pixels to which images are resized.
      crop: C, side in pixels of the centre crop.

    Returns:
      A dataset of {"image": float32 [B, C, C, 3] in 0..255, "label": int32 [B], "index": int64 [B], "boxes" and
      "whole_boxes": float32 [B, M, 4]}. Boxes are ymin xmin ymax xmax in fractions of the view; "boxes" are clipped to
      it. A box wholly outside the view is not clipped: no prediction overlaps it, so it counts as missed. M is the
      largest number of boxes of an image, at least 1; missing boxes, and boxes without area, are rows of zeros. With
      masks also "mask": uint8 [B, C, C], 1 for the object and 0 for the background.

    Raises:
      ValueError: if an argument is out of range.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
    view = transforms.evaluation_view(resize=resize, crop=crop)
    read = image_store.reader(source)
    labels = main_memory.constant(source.labels, tf.int32)
    boxes = main_memory.constant(source.padded_boxes(), tf.float32)
    read_mask = None if source.masks is None else image_store.reader(source, masks=True)

    def view_of(index):
        encoded = read(index)
        image, frame = decoding.decode_scaled(encoded, target_side=resize)
        size = tf.cast(decoding.read_size(encoded), tf.float32)  # the image may be decoded at a fraction of it
        has_area = tf.reduce_all(boxes[index][:, 2:] > boxes[index][:, :2], axis=-1, keepdims=True)
        whole = tf.where(has_area, transforms.boxes_into_view(boxes[index] / tf.tile(size, [2]), view), 0.0)
        clipped = tf.clip_by_value(whole, 0.0, 1.0)
        is_visible = tf.reduce_all(clipped[:, 2:] > clipped[:, :2], axis=-1, keepdims=True)
        example = {
            "image": transforms.apply(image, view, resize=resize, crop=crop, frame=frame),
            "label": labels[index],
            "index": index,
            "boxes": tf.where(is_visible, clipped, whole),
            "whole_boxes": whole,
        }
        if read_mask:
            mask = masks.decode(read_mask(index))
            example["mask"] = tf.cast(transforms.apply_to_mask(mask, view, resize=resize, crop=crop), tf.uint8)
        return example

    views = image_store.parallel_map(tf.data.Dataset.range(len(source)), view_of)
    return input_pipeline.with_prefetch(views.batch(batch_size))
