"""Erasing strategies. A plug-in defines `erase(activation_map, keys, *, options...) -> erased map`."""
