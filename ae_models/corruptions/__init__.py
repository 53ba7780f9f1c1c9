"""Corruptions of a denoising auto-encoder's input, one family a file: Keras layers that act in
training only, and deterministic views for scores.

One more is added by its file and a line in `expression.py`.
"""

from ae_models.corruptions.composition import Composition
from ae_models.corruptions.corruption import Corruption
from ae_models.corruptions.expression import (
    CORRUPTIONS,
    Step,
    build_corruption,
    parse_corruption,
)

__all__ = [
    "CORRUPTIONS",
    "Composition",
    "Corruption",
    "Step",
    "build_corruption",
    "parse_corruption",
]
