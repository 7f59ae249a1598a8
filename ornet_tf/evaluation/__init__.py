"""Evaluation of a trained run: the figures of its rows, and the report."""
