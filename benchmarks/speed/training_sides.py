"""Training from disk, as in `latentbeam train`, and `keras.Model.fit` on arrays in memory."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from ae_models.bundles.names import TRANSFORM_OUTPUT
from ae_models.config.configuration import TrainingConfig
from ae_models.config.model import AutoencoderConfig
from ae_models.models.registry import build_model
from ae_models.training.fit import fit, initialise
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing
from benchmarks.speed.programs import Program, measure

# By model, enough that a run takes over ten seconds; the first epoch and anything before it are
# not counted.
EPOCHS = {"dense": 13, "convolutional": 4}
VALIDATION_SHARE = 0.1
MODELS = {
    "dense": AutoencoderConfig(network="dense", widths=(256, 64), latent_dim=10, linear_path=False),
    "convolutional": AutoencoderConfig(linear_path=False),
}


def main() -> None:
    """NAME INPUT BUNDLE OUTPUT; only the preprocessing comes from the bundle."""
    programs = {
        f"{side.__name__}_{model}": _of(side, model) for side in (ours, bare) for model in MODELS
    }
    measure(programs, sys.argv[1:])


def _of(side: Callable[[str, Path, Path, Path], float], model: str) -> Program:
    return lambda uri, bundle, output: side(model, Path(uri), bundle, output)


def _training(model: str) -> TrainingConfig:
    epochs = EPOCHS[model]
    return TrainingConfig(
        epochs=epochs, batch_size=128, schedule="constant", patience=epochs, augment="none"
    )


def ours(model_name: str, images: Path, bundle: Path, output: Path) -> float:
    """Seconds of the epochs after the first, with the command's progress callback."""
    output.mkdir()
    paths = output / "train.npy", output / "validation.npy"
    for path, pixels in zip(paths, _parts(images), strict=True):
        np.save(path, pixels)
    train, validation = map(ImageStore, paths)
    preprocessing = Preprocessing(bundle / TRANSFORM_OUTPUT)
    config = _training(model_name)
    model = build_model(MODELS[model_name], train.shape[1:], config.seed)
    initialise(model, preprocessing, train)
    ends = np.zeros(EPOCHS[model_name])

    def on_progress(epoch: int, done: int, steps: int, losses: dict[str, float]) -> None:
        del done, steps, losses
        ends[epoch] = time.monotonic()

    fit(model, preprocessing, train, validation, config=config, on_progress=on_progress)
    return ends[-1] - ends[0]


def bare(model_name: str, images: Path, bundle: Path, output: Path) -> float:
    """The same with Keras alone: all images are scaled in memory beforehand."""
    del output
    preprocessing = Preprocessing(bundle / TRANSFORM_OUTPUT)
    x, validation = (preprocessing(pixels).numpy() for pixels in _parts(images))
    config = _training(model_name)
    model = build_model(MODELS[model_name], x.shape[1:], config.seed)
    model.compile(optimizer=keras.optimizers.Adam(config.learning_rate), jit_compile=False)
    ends: list[float] = []
    model.fit(
        x,
        x,
        batch_size=config.batch_size,
        epochs=config.epochs,
        shuffle=True,
        validation_data=(validation, validation),
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.monotonic()))
        ],
        verbose=0,
    )
    return ends[-1] - ends[0]


def _parts(images: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation images, (N, H, W, 1) uint8."""
    with np.load(images) as arrays:
        pixels = arrays["x"][..., None]
    held_out = int(VALIDATION_SHARE * len(pixels))
    return pixels[held_out:], pixels[:held_out]


if __name__ == "__main__":
    main()
