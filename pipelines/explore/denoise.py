"""`latentbeam explore denoise`: how well images are restored from corrupted ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_models.bundles.keras_model import BundleModel
from ae_models.config.configuration import Configuration
from ae_models.config.model import DenoisingConfig
from ae_models.config.steps import Step
from ae_models.errors import ConfigError
from pipelines.drawing.png import check_picture, write_png
from pipelines.drawing.reconstruction import error_strip
from pipelines.drawing.sheet import Sheet, Strip, shades_of
from pipelines.explore.model import UNIT, opened
from pipelines.explore.records import Choice
from transforms.sources import ReadOptions


def denoise(
    model: str,
    output: str,
    *,
    inputs: Sequence[str],
    corruption: str | None = None,
    ids: str | None = None,
    count: int = 10,
    seed: int = 0,
    where: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Draws clean inputs, their corrupted versions, the images restored from these, and the
    remaining error; returns the PSNR of corrupted and restored images, in decibels (None if equal).

    Args:
      corruption: in the form of `model.corruption`; None: the one the model was trained with, which
        only denoising models have.
      reading: fields of `ReadOptions`, how the inputs are read.

    Raises:
      LatentbeamError: a record, the bundle, the corruption or the output cannot be used.
    """
    check_picture(output)
    options = ReadOptions(**(reading or {}))
    choice, bundle = Choice(inputs, ids, count, seed, where, options), opened(model)
    steps = _steps(bundle.config, corruption)
    records = choice.find(bundle.config.image)
    corrupted, restored = BundleModel(bundle).corrupted(records.pixels, steps, seed)
    clean = records.pixels.astype(np.float32)
    largest = float(bundle.config.image.greatest_level)
    before, after = (psnr(clean, images, largest) for images in (corrupted, restored))
    strips = [
        Strip("clean", clean),
        Strip("corrupted", corrupted, _decibels(before)),
        Strip("restored", restored, _decibels(after)),
        error_strip(clean, restored, UNIT),
    ]
    named = "+".join(f"{name}:{amount:g}" if amount else name for name, amount in steps)
    heading = (
        f"Images corrupted by {named}, restored by the {bundle.config.model.kind.upper()}, and the "
        "remaining error"
    )
    write_png(
        Sheet(strips, records.ids, heading=heading, unit=UNIT, shades=shades_of(clean)).figure,
        output,
    )
    return {
        "picture": output,
        "corruption": named,
        "records": [
            {"id": record, "psnr_corrupted": _finite(b), "psnr_restored": _finite(a)}
            for record, b, a in zip(records.ids, before, after, strict=True)
        ],
    }


def psnr(images: np.ndarray, others: np.ndarray, largest: float) -> np.ndarray:
    """The peak signal-to-noise ratio, 10·log10(largest² / MSE), in decibels, of images (N, H, W,
    C): (N,) float64; infinite where they are equal."""
    errors = np.square(images.astype(np.float64) - others).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(largest**2 / errors)


def _finite(ratio: float) -> float | None:
    """None if the images are equal: JSON has no infinity."""
    return float(ratio) if np.isfinite(ratio) else None


def _decibels(ratios: np.ndarray) -> list[str]:
    return [f"PSNR {r:.1f} dB" if np.isfinite(r) else "unchanged" for r in ratios]


def _steps(config: Configuration, corruption: str | None) -> tuple[Step, ...]:
    """Raises ConfigError if there is no corruption, or if it does not apply to such images."""
    if corruption is not None:
        given = DenoisingConfig(corruption=corruption)
        Configuration(given, config.image, config.preprocessing)  # checks that it applies
        return given.corruption_steps
    if not isinstance(config.model, DenoisingConfig):
        raise ConfigError(
            f"a model of kind {config.model.kind} was trained without corruption: give "
            "--corruption, for example gaussian_noise:0.3, or a denoising model (kind dae)"
        )
    if not config.model.corruption_steps:
        raise ConfigError(
            "the model was trained on given pairs, without a corruption: give --corruption, or "
            "run `latentbeam explore reconstruct` to see how it restores its inputs"
        )
    return config.model.corruption_steps
