"""Images, boxes and masks, from files to batches."""

# The limits of `file_checks`, here for the configuration, which must not import TensorFlow: that takes seconds.
MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000
