"""SIGKILL at random moments of trainings, which are then resumed."""

import dataclasses
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ae_models.bundles.keras_check import load_keras_model
from ae_models.bundles.names import KERAS_MODEL
from benchmarks.faults.finding import Fault, Finding
from benchmarks.faults.runs import finished, kill_group, running

_RECORDS, _SIDE, _EPOCHS = 600, 32, 12
_SEED = 0


@dataclasses.dataclass(frozen=True)
class TrainingDies(Fault):
    """The training dies at a random moment, and is resumed. The model draws random numbers while it
    trains, for noise and for augmentation."""

    def try_out(self, cache: Path, trials: int, on_trial: Callable[[], object]) -> Finding:
        images = _images(cache)
        good = within = 0
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            whole = Path(folder) / "whole"
            seconds = finished(_command(images, whole))
            for moment in np.random.default_rng(_SEED).uniform(0, seconds, trials):
                output = Path(folder) / f"{moment}"
                with running(_command(images, output)) as process:
                    time.sleep(moment)
                    kill_group(process)
                within += (output.parent / f"{output.name}-unfinished/checkpoint.npz").exists()
                finished([*_command(images, output), "--resume"])
                good += _same(output, whole)
                on_trial()
        return Finding(
            self.name,
            "after resuming, it has the weights and scores of an undisturbed training",
            trials,
            good,
            0,
            time.monotonic() - started,
            f"{within} had trained for at least an epoch; a training takes {seconds:.0f} s",
        )


def _images(cache: Path) -> Path:
    """Colour images of smooth noise."""
    path = cache / f"training-{_RECORDS}-{_SIDE}.npz"
    if not path.exists():
        coarse = np.random.default_rng(_SEED).uniform(size=(_RECORDS, 8, 8, 3))
        smooth = coarse.repeat(_SIDE // 8, axis=1).repeat(_SIDE // 8, axis=2)
        np.savez(path, x=np.rint(255 * smooth).astype(np.uint8))
    return path


def _command(images: Path, output: Path) -> list[str]:
    model = ["--model", "dae", "--set", "model.network=residual", "training.augment=flip+shift"]
    budget = ["--epochs", str(_EPOCHS), "--set", f"training.patience={_EPOCHS}"]
    where = ["--input", str(images), "--output", str(output)]
    return [sys.executable, "-m", "pipelines.cli", "train", *where, *model, *budget]


def _same(one: Path, other: Path) -> bool:
    """Whether two bundles have the same weights, losses and calibration scores, bit for bit."""
    return _facts(one) == _facts(other)


def _facts(bundle: Path) -> tuple[str, object, str]:
    digest = hashlib.sha256()
    for weight in load_keras_model(bundle / KERAS_MODEL).get_weights():
        digest.update(weight.tobytes())
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    curves, calibration = manifest["training"]["curves"], manifest["files"]["calibration.parquet"]
    return digest.hexdigest(), curves, calibration
