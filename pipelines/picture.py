"""A picture of inputs, reconstructions and errors."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pipelines.terminal import shown

_INCHES = 1.1
_LONGEST_TITLE, _LONGEST_HEADING, _MOST_LINES = 24, 120, 2  # in characters


def reconstruction_grid(
    path: str | Path,
    inputs: np.ndarray,
    reconstructions: np.ndarray,
    titles: Sequence[str],
    heading: str,
) -> None:
    """Writes a PNG: a column a record; its input, its reconstruction, their absolute difference.

    Args:
      path: the file to write.
      inputs: (N, H, W, C) scaled images.
      reconstructions: the same shape.
      titles: one for each column.
      heading: above all columns.
    """
    count = len(inputs)
    rows = {
        "input": inputs,
        "reconstruction": reconstructions,
        "error": np.abs(inputs - reconstructions).mean(axis=-1),
    }
    figure = Figure(figsize=(_INCHES * count + 1.4, _INCHES * len(rows) + 1.0))
    axes = figure.subplots(len(rows), count, squeeze=False)
    low, high = float(inputs.min()), float(inputs.max())
    worst = float(rows["error"].max())
    for row, (label, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(row, images, strict=True):
            if label == "error":
                axis.imshow(image, cmap=matplotlib.colormaps["magma"], vmin=0, vmax=worst)
            else:
                axis.imshow(_displayed(image, low, high), cmap="gray", vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(label)
    for axis, title in zip(axes[0], titles, strict=True):
        # A title may be a record's label or id: no formula, and no longer than its column.
        axis.set_title(_shortened(title), fontsize=8, parse_math=False)
    figure.suptitle(_shortened(heading, _LONGEST_HEADING), fontsize=10, parse_math=False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _shortened(text: str, most: int = _LONGEST_TITLE) -> str:
    lines = [shown(line) for line in text.split("\n")[:_MOST_LINES]]
    return "\n".join(line if len(line) <= most else f"{line[: most - 1]}…" for line in lines)


def _displayed(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """(H, W) or (H, W, 3) between 0 and 1: grey, colour, or the first channel of other images."""
    unit = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
    return unit[..., :3] if unit.shape[-1] in (3, 4) else unit[..., 0]
