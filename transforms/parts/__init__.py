"""A run in parts, each of which is written and committed by itself."""
