"""Activation maps: refinement, connected components, boxes, drawings."""
