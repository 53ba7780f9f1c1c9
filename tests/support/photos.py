"""The folder of photographs that the documentation's pages speak of."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

GOOD, SCRATCHED = 220, 20


def write_photos(folder: Path) -> None:
    """Writes `good/0000.jpg` and so on, and `scratched/`, of 40 x 36 pixels in colour."""
    for index, digit in enumerate(load_digits().images[: GOOD + SCRATCHED]):
        kind = "good" if index < GOOD else "scratched"
        image = Image.fromarray((digit * 15).astype(np.uint8)).resize((40, 36)).convert("RGB")
        if kind == "scratched":
            ImageDraw.Draw(image).line((0, 30, 39, 3), fill=(255, 0, 0), width=3)
        path = folder / kind / f"{index:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
