"""Masks of defects, beside the maps of a finished run."""
