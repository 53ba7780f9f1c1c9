"""Loss curves by epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_INCHES, _DPI = (7.0, 3.2), 120


def draw_curves(path: Path, curves: Mapping[str, Sequence[float | None]], best_epoch: int) -> None:
    """Writes a PNG of the loss and the validation loss.

    Args:
      path: the file to write.
      curves: `loss` of each epoch from 1, `validation_loss` of each from 0 (before the first); None
        if there is no value to draw.
      best_epoch: the epoch whose weights were kept, to be marked.
    """
    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    losses, validation_losses = (
        np.array(curves[name], float) for name in ("loss", "validation_loss")
    )
    axes.plot(np.arange(1, len(losses) + 1), losses, label="loss", color="tab:blue")
    axes.plot(range(len(validation_losses)), validation_losses, label="validation loss",
              color="tab:orange")  # fmt: skip
    kept = f"epoch {best_epoch}" if best_epoch else "before training"
    axes.plot([best_epoch], [validation_losses[best_epoch]], "o", color="tab:orange",
              label=f"{kept} (weights kept)")  # fmt: skip
    if np.nanmin([*losses, *validation_losses]) > 0:
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.grid(color="0.9")
    axes.legend()
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
