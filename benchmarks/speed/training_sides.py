"""Training as `latentbeam train` does it, from disk, and `keras.Model.fit` on arrays in memory."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from ae_models.bundle import TRANSFORM_OUTPUT
from ae_models.config import TrainingConfig
from ae_models.image_store import ImageStore
from ae_models.kinds import build_model
from ae_models.model_config import AutoencoderConfig
from ae_models.preprocessing import Preprocessing
from ae_models.training import fit, initialise
from benchmarks.speed.programs import measure

EPOCHS = 4  # of which the first, with what comes before it, is not counted
VALIDATION_SHARE = 0.1
MODELS = {
    "dense": AutoencoderConfig(network="dense", widths=(256, 64), latent_dim=10),
    "convolutional": AutoencoderConfig(),
}
_CONFIG = TrainingConfig(epochs=EPOCHS)


def main() -> None:
    """NAME INPUT BUNDLE OUTPUT, of which the bundle gives the preprocessing alone."""
    programs = {
        f"{side.__name__}_{model}": _of(side, config)
        for side in (ours, bare)
        for model, config in MODELS.items()
    }
    measure(programs, sys.argv[1:])


def _of(
    side: Callable[[AutoencoderConfig, Path, Path, Path], float], config: AutoencoderConfig
) -> Callable[[str, Path, Path], float]:
    return lambda uri, bundle, output: side(config, Path(uri), bundle, output)


def ours(config: AutoencoderConfig, images: Path, bundle: Path, output: Path) -> float:
    """Seconds of the epochs after the first, with the progress that the command shows."""
    output.mkdir()
    paths = output / "train.npy", output / "validation.npy"
    for path, pixels in zip(paths, _parts(images), strict=True):
        np.save(path, pixels)
    train, validation = map(ImageStore, paths)
    preprocessing = Preprocessing(bundle / TRANSFORM_OUTPUT)
    model = build_model(config, train.shape[1:], _CONFIG.seed)
    initialise(model, preprocessing, train)
    ends = np.zeros(EPOCHS)

    def on_progress(epoch: int, done: int, steps: int, losses: dict[str, float]) -> None:
        del done, steps, losses
        ends[epoch] = time.monotonic()

    fit(model, preprocessing, train, validation, _CONFIG, on_progress)
    return ends[-1] - ends[0]


def bare(config: AutoencoderConfig, images: Path, bundle: Path, output: Path) -> float:
    """The same, by Keras alone: all images scaled, in memory, before it starts."""
    del output
    preprocessing = Preprocessing(bundle / TRANSFORM_OUTPUT)
    x, validation = (preprocessing(pixels).numpy() for pixels in _parts(images))
    model = build_model(config, x.shape[1:], _CONFIG.seed)
    model.compile(optimizer=keras.optimizers.Adam(_CONFIG.learning_rate), jit_compile=False)
    ends: list[float] = []
    model.fit(
        x,
        x,
        batch_size=_CONFIG.batch_size,
        epochs=EPOCHS,
        shuffle=True,
        validation_data=(validation, validation),
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.monotonic()))
        ],
        verbose=0,
    )
    return ends[-1] - ends[0]


def _parts(images: Path) -> tuple[np.ndarray, np.ndarray]:
    """Those to train on and those to validate by, (N, H, W, 1) uint8."""
    with np.load(images) as arrays:
        pixels = arrays["x"][..., None]
    held_out = int(VALIDATION_SHARE * len(pixels))
    return pixels[held_out:], pixels[:held_out]


if __name__ == "__main__":
    main()
