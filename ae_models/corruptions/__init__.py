"""Corruptions of a denoising auto-encoder's input, one family a file: Keras layers that act in
training only, and deterministic views for scores.

One more is added by its file and a line in `families.py`.
"""
