"""Corruptions of a denoising auto-encoder's input, one family per file: Keras layers that act only
in training, and deterministic views for scores.

To add one, add its file and a line in `families.py`.
"""
