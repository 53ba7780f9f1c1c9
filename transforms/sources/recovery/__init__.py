"""Recovering the undamaged rest of damaged files."""
