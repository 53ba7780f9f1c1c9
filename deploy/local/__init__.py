"""Beam's engines on one machine, for the engine tests and for trying them out."""
