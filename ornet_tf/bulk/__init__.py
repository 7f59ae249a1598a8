"""Bulk localization: an export over millions of images on a Ray cluster, as the program `localize_many` does it."""
