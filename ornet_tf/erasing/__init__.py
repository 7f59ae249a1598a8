"""Erasing strategies. A plug-in defines `erase(activation_map, seed, *, options...) -> erased map`."""
