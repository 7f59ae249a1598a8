"""Activation maps: components, boxes, drawings."""
