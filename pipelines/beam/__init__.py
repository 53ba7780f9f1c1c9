"""Beam's flags, runners and workers."""
