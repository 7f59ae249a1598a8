"""Data sets. A plug-in defines `load(split, *, options...) -> Source`; importing it does not import TensorFlow."""
