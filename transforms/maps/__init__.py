"""Anomaly maps in the coordinates of the images that they are of."""
