"""Checks that training produces a bundle for every kind of model, image size and kind of image.

    python -m benchmarks.training_matrix --photos FOLDER --output FILE.json

Trains every kind of model with every network, on images of 28, 64, 128 and 224 pixels, grey and
colour, with 8 and 16 bits: photographs from `FOLDER/dogs_cats`. The file has one line per training:
what its bundle lacks, and how much Keras and the SavedModel differ. Trainings in the file are not
repeated.
"""

import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from PIL import Image
from tqdm import tqdm

from ae_models.assessment.parity import Agreement
from ae_models.config.model import MODEL_CONFIGS
from ae_models.errors import LatentbeamError
from ae_models.networks import NETWORKS
from pipelines.commands.train import train, train_configuration
from pipelines.training import model as training_model

_RECORDS = 60
_EPOCHS = 2
_SIZES, _CHANNELS, _BITS = (28, 64, 128, 224), (1, 3), (8, 16)


class Case(NamedTuple):
    """One training."""

    kind: str
    network: str
    size: int
    channels: int
    bits: int


def cases() -> Iterator[Case]:
    """All cases, small images first."""
    for size, kind, network in itertools.product(_SIZES, MODEL_CONFIGS, NETWORKS):
        for channels, bits in itertools.product(_CHANNELS, _BITS):
            yield Case(kind, network, size, channels, bits)


def images(photos: Path, case: Case) -> np.ndarray:
    """Photographs of that size and kind, (N, H, W, C). With 16 bits, intermediate levels come from
    reducing in floating point."""
    found = sorted((photos / "dogs_cats" / "train").rglob("*.jpg"))[:_RECORDS]
    pixels = []
    for path in found:
        with Image.open(path) as image:
            side = min(image.size)
            square = image.convert("RGB").crop((0, 0, side, side))
        bands = square.split() if case.channels > 1 else [square.convert("L")]
        small = [
            band.convert("F").resize((case.size, case.size), Image.Resampling.BOX) for band in bands
        ]
        pixels.append(np.stack([np.asarray(band) for band in small], axis=-1))
    levels = np.stack(pixels) * (257 if case.bits > 8 else 1)
    return np.rint(levels).astype(np.uint8 if case.bits == 8 else np.uint16)


def trained(photos: Path, case: Case) -> dict[str, Any]:
    """The outcome of one training."""
    found: list[Agreement] = []
    compare = training_model.export

    def noted(*arguments: Any, **more: Any) -> list[Agreement]:
        agreements = compare(*arguments, **more)
        found.extend(agreements)
        return agreements

    training_model.export = noted
    started, cpu = time.monotonic(), time.process_time()
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "images.npz"
            np.savez(source, x=images(photos, case))
            config = train_configuration(
                case.kind,
                overrides=[f"model.network={case.network}"],
                flags={"epochs": _EPOCHS},
            )
            manifest = train([str(source)], config, str(Path(folder) / "bundle"))
            result = {"bundle": True, "scores": manifest["config"]["scoring"]["scores"]}
    except LatentbeamError as error:
        result = {"bundle": False, "error": str(error)}
    finally:
        training_model.export = compare
    apart = {a.name: _apart(a) for a in found}
    spent = {"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}
    return {**case._asdict(), **result, "apart": apart, **spent}


def _apart(agreement: Agreement) -> dict[str, Any]:
    spread = agreement.spread
    return {
        "holds": agreement.holds,
        "of_allowed": agreement.difference / agreement.allowed,
        "of_spread": agreement.difference / spread if np.isfinite(spread) and spread else None,
    }


@click.command()
@click.option("--photos", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--only", help="Only cases whose name contains this: vae-residual-64.")
def main(photos: Path, output: Path, only: str | None) -> None:
    """Train all cases."""
    done = _done(output)
    wanted = [c for c in cases() if c not in done and (only is None or only in _name(c))]
    for case in tqdm(wanted, unit=" trainings"):
        result = trained(photos, case)
        with output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
    results = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    failed = [r for r in results if not r["bundle"]]
    apart = [r for r in results if not all(a["holds"] for a in r["apart"].values())]
    click.echo(
        f"{len(results)} trainings, {len(failed)} without a bundle, {len(apart)} lack a score"
    )


def _done(output: Path) -> set[Case]:
    if not output.exists():
        return set()
    lines = output.read_text(encoding="utf-8").splitlines()
    return {Case(**{name: json.loads(line)[name] for name in Case._fields}) for line in lines}


def _name(case: Case) -> str:
    return "-".join(map(str, case))


if __name__ == "__main__":
    main()
