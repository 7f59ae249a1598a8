"""Prediction and export: encoded images in, boxes out."""
