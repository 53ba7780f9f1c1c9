"""Anomaly maps in the coordinates of their images."""
