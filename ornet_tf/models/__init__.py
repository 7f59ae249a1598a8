"""Models and layers that methods are made of."""
