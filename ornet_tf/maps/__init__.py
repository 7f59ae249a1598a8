"""Activation maps: connected components, boxes, drawings."""
