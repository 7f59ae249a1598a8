"""Losses. A plug-in defines `loss(tensors..., *, options...) -> float32 [B]`: pure, one value per example.

A loss that learns nothing of the object where all images are of one class, alone or with others that say so, has the
attribute `needs_classes`, which is False where it is missing.
"""
