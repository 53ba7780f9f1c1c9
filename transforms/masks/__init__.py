"""Comparing masks of defects with the maps of a finished run."""
