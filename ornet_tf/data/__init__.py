"""Images, boxes and masks, from files to batches."""
