"""Features that were laid beside each other, apart again."""

from collections.abc import Sequence
from itertools import accumulate

from ae_models.ops.tensor import Tensor


def split_by_widths(x: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """(..., K) → a part (..., width) for each width, K in all. Slices, of NumPy arrays too: what
    TensorFlow calls a split knows none of one part."""
    ends = accumulate(widths)
    return [x[..., end - width : end] for width, end in zip(widths, ends, strict=True)]
