"""Evaluation of a trained run: rows side by side, their report."""
