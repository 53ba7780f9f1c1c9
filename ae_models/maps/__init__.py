"""Anomaly maps: where in an image it is anomalous. One family per file."""
