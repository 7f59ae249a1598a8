"""Losses. A plug-in defines `loss(tensors..., *, options...) -> float32 [B]`: pure, one value per example.

A loss has the attribute `needs_classes` = True if, alone or with other such losses, it teaches nothing about objects
when all images have one class. Without the attribute it counts as False.
"""
