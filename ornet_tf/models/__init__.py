"""Models and layers, the parts of methods."""
