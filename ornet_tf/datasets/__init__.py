"""Data sets. A plug-in defines `load(split, *, options...) -> Source`, without TensorFlow ops."""
