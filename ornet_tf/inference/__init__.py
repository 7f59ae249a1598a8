"""Prediction and export: from image files to boxes."""
