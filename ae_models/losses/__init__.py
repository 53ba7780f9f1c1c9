"""Reconstruction losses and their weighted sums."""
