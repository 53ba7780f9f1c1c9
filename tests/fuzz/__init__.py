"""Mutated images, containers and bundles through the code that reads those of strangers.

`python -m tests.fuzz` runs them in processes of their own, for a number of items or a time; what
an item is follows from target, seed and number alone.
"""
