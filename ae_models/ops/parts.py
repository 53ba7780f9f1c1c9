"""Splits features that were concatenated."""

from collections.abc import Sequence
from itertools import accumulate

from ae_models.ops.tensor import Tensor


def split_by_widths(x: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """(..., K) → one part (..., width) per width, K in total. It slices, so that it also works on
    NumPy arrays, and because TensorFlow's split does not support a single part."""
    ends = accumulate(widths)
    return [x[..., end - width : end] for width, end in zip(widths, ends, strict=True)]
