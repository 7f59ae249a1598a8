"""Data sets. A plug-in defines `load(split, *, options...) -> ornet_tf.data.source.Source`.

The splits are "train", "validation" and "test"; `ornet_tf.data.source.MissingSplit` is raised for a split that the data
set lacks. Training never reads boxes or masks. Importing a plug-in must not import TensorFlow.
"""
