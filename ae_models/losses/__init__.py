"""Reconstruction losses, and how a configuration weighs them."""
