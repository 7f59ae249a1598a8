"""Losses. A plug-in defines `loss(tensors..., *, options...) -> float32 [B]`: pure, one value per example."""
