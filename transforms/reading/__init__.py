"""Reads records of the inputs: all of them, a sample, or individual ones."""
