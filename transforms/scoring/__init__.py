"""Scoring records with a model bundle: the ModelHandler and the score columns."""
