"""Assessments of a trained model, before anyone relies on it."""
