"""The configuration of a training: frozen, validated, and unchanged by a trip through YAML."""

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import yaml

from ae_models.config.features import NONE, FeaturesConfig
from ae_models.config.image import ImageConfig
from ae_models.config.maps import DENSITY, LIKELIHOOD
from ae_models.config.model import (
    LATENT_OF_PIXELS,
    LIKELIHOOD_OF_PIXELS,
    AutoencoderConfig,
    DenoisingConfig,
    ModelConfig,
    VariationalConfig,
    model_config_from_mapping,
    model_config_to_mapping,
)
from ae_models.config.steps import Step
from ae_models.config.training import TrainingConfig
from ae_models.config.validated import Validated, from_mapping, key, suggestion, to_mapping
from ae_models.config.yaml_text import load_yaml
from ae_models.corruptions.expression import corruption_text
from ae_models.corruptions.families import FACTS
from ae_models.errors import ConfigError
from ae_models.likelihoods import options
from ae_models.losses import expression

__all__ = [
    "Configuration",
    "ImageConfig",
    "PreprocessingConfig",
    "ScoringConfig",
    "TrainingConfig",
    "configuration_from_mapping",
    "configuration_from_yaml",
    "configuration_to_mapping",
    "configuration_to_yaml",
    "read_mapping",
    "with_overrides",
]

# Raw pixels in one call of the network, whose activations may take about fifty times as much.
_BATCH_BYTES = 4 << 20
_DENSE_ROWS, _OTHER_ROWS = 1024, 256
# A multiple of the rows that oneDNN's matrix kernels process at once, 6 with AVX2 and 8 with
# AVX-512: in other batches, they round the last rows differently from the first.
_TILE_ROWS = 24
# Tiles need more memory: 24 rows take 290 MiB more, and 95% of the time.
_ROWS_OF_TILES = 4


@dataclasses.dataclass(frozen=True)
class PreprocessingConfig(Validated):
    """What tf.Transform computes over all training records and applies to every record.

    `quantile` cuts values to −1 and 2, so that a few hot or dead pixels do not set the scale.
    """

    section: ClassVar[str] = "preprocessing"

    scaling: Literal["unit", "full_range", "standard", "quantile"] | None = key(
        None,
        "How levels are scaled: unit, (x - min) / (max - min) over all pixels; full_range, "
        "x / (2^bits - 1); standard, (x - mean) / stddev per channel; quantile, like unit, but "
        "between the levels that leave out 0.005% of the values at either end. null: unit for "
        "pixels, standard for features.",
    )

    @property
    def bounded(self) -> bool:
        """Whether the training records' scaled values are between 0 and 1, all or all but one in
        ten thousand. Assumes pixels if nothing is set."""
        return self.scaling != "standard"


@dataclasses.dataclass(frozen=True)
class ScoringConfig(Validated):
    """Which scores a model bundle contains, and how they are calibrated and mapped."""

    section: ClassVar[str] = "scoring"

    scores: tuple[str, ...] | None = key(
        None,
        "Anomaly scores that the model bundle contains. null: those of the kind of model, except "
        "costly ones.",
    )
    primary: str | None = key(
        None,
        "Primary score, from which p-values and flags are computed; auto: the score that finds the "
        "most anomalies made from held-out images. null: reconstruction_smoothed for pixels, "
        "combined for features, map_peak for tiles.",
    )
    map: Literal["error", "likelihood", "density", "none"] | None = key(
        None,
        "What anomaly maps show: error, what the model fails to reconstruct; likelihood, what it "
        "finds unlikely (vae only); density, where features are unusual (features only); none, no "
        "maps. null: error for pixels, density for features.",
    )
    fpr: float = key(
        0.01, "Expected share of normal records that are flagged: those with p_value <= fpr."
    )
    tail: Literal["none", "pareto"] = key(
        "none",
        "p-value of a score above all n calibration scores: none, the conformal 1 / (n + 1); "
        "pareto, extrapolated from a generalised Pareto tail.",
    )
    batch_rows: int | None = key(
        None,
        "Number of records in a scoring batch; other batches are padded. For features, rounded to "
        "a multiple of 24, or 4 or 2. null: chosen for the network.",
    )
    top_tiles: int = key(
        1, "Number of highest tile scores whose mean is the image's score (with image.tile)."
    )

    def validate(self) -> None:
        self.require(0 < self.fpr < 1, "fpr", "between 0 and 1")
        self.require(self.scores != (), "scores", "null, or a list of at least one score")
        self.require(self.top_tiles >= 1, "top_tiles", "at least 1")
        # Kernels for a single row round differently from those for a batch.
        enough = self.batch_rows is None or self.batch_rows >= 2
        self.require(enough, "batch_rows", "null, or at least 2")


def _whole_tiles(rows: int) -> int:
    """The greatest number of rows, at most `rows` and at least 2, that kernels round alike."""
    if rows >= _TILE_ROWS:
        return rows // _TILE_ROWS * _TILE_ROWS
    return 4 if rows >= 4 else 2


@dataclasses.dataclass(frozen=True)
class Configuration(Validated):
    """All settings of `latentbeam train`, as the model bundle's manifest records them."""

    model: ModelConfig
    image: ImageConfig = dataclasses.field(default_factory=ImageConfig)
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    scoring: ScoringConfig = ScoringConfig()
    features: FeaturesConfig = dataclasses.field(default_factory=FeaturesConfig)

    def validate(self) -> None:
        if self.features.is_on and self.preprocessing.scaling not in (None, "standard"):
            raise ConfigError(
                f"features.backbone {self.features.backbone!r} needs preprocessing.scaling "
                f"'standard'. Received: {self.preprocessing.scaling!r}"
            )
        self._require_map()
        if self.image.tile is not None and self.target is not None:
            raise ConfigError(
                "model.target and image.tile cannot be combined: leave out one of them"
            )
        if isinstance(self.model, VariationalConfig):
            self._require_range_of_likelihood(self.model)
        if isinstance(self.model, AutoencoderConfig):
            self._require_range_of_loss(self.model)
        if isinstance(self.model, DenoisingConfig):
            self._require_corruptible(self.model)
        if self.training.binarise:
            self._require_bounded("training.binarise")

    def _require_map(self) -> None:
        asked = self.scoring.map
        if asked == DENSITY and self.features.backbone == NONE:
            raise ConfigError(f"scoring.map {asked!r} needs features.backbone. Received: 'none'")
        if asked == LIKELIHOOD and not isinstance(self.model, VariationalConfig):
            raise ConfigError(
                f"scoring.map {asked!r} needs a model of kind vae. Received: {self.model.kind!r}"
            )

    def _require_bounded(self, what: str) -> None:
        if not self.preprocessing.bounded:
            raise ConfigError(
                f"{what} needs preprocessing.scaling 'unit', 'quantile' or 'full_range'. "
                f"Received: {self.preprocessing.scaling!r}"
            )

    def _require_range_of_likelihood(self, model: VariationalConfig) -> None:
        if model.known_likelihood in options.OF_UNIT_SCALING:
            self._require_bounded(f"model.likelihood {model.known_likelihood!r}")
        if model.likelihood == "discretised_logistic":
            self._require_levels(model)

    def _require_range_of_loss(self, model: AutoencoderConfig) -> None:
        for name in expression.OF_UNIT_SCALING:
            if name in model.loss_terms.weights:
                self._require_bounded(f"model.loss {name!r}")
        if model.sigmoid_output:
            self._require_bounded("model.output 'sigmoid'")

    def _require_corruptible(self, model: DenoisingConfig) -> None:
        for step in model.corruption_steps:
            if step.name == "clip" and self.features.is_on:
                raise ConfigError(
                    "model.corruption 'clip' needs pixels: leave it out, or give "
                    f"features.backbone none. Received: {self.features.backbone!r}"
                )
            if FACTS[step.name].needs_unit_scaling and not self.features.is_on:
                self._require_bounded(f"model.corruption {step.name!r}")
            if step.name == "greyscale" and self.image.channels not in (None, 3, 4):
                raise ConfigError(
                    "model.corruption 'greyscale' needs image.channels 3 or 4. "
                    f"Received: {self.image.channels}"
                )

    def _require_levels(self, model: VariationalConfig) -> None:
        """The cells of a discretised likelihood must be the levels of a pixel."""
        if self.preprocessing.scaling != "full_range":
            raise ConfigError(
                f"model.likelihood {model.likelihood!r} needs preprocessing.scaling 'full_range'. "
                f"Received: {self.preprocessing.scaling!r}"
            )
        if self.image.bits not in (None, model.likelihood_bits):
            raise ConfigError(
                f"model.likelihood_bits must be {self.image.bits}, like image.bits. "
                f"Received: {model.likelihood_bits}"
            )

    @property
    def target(self) -> str | None:
        """The column of target images, or None."""
        return self.model.target if isinstance(self.model, DenoisingConfig) else None

    @property
    def is_grouped(self) -> bool:
        """Whether splits keep records together: those of a group, or the tiles of an image."""
        return self.training.group is not None or self.image.tile is not None

    @property
    def corruption_of_images(self) -> tuple[Step, ...]:
        """The corruptions of an image before the backbone; none if pixels are reconstructed."""
        return self._corruption(of_images=True) if self.features.is_on else ()

    @property
    def built_model(self) -> ModelConfig:
        """The model section that the network needs in training: without the corruptions that images
        undergo before the backbone."""
        if not (self.corruption_of_images and isinstance(self.model, DenoisingConfig)):
            return self.model
        left = corruption_text(self._corruption(of_images=False))
        return dataclasses.replace(self.model, corruption=left)

    def _corruption(self, of_images: bool) -> tuple[Step, ...]:
        steps = self.model.corruption_steps if isinstance(self.model, DenoisingConfig) else ()
        return tuple(step for step in steps if FACTS[step.name].of_images == of_images)

    @property
    def batch_rows(self) -> int:
        """Rows of one call of the scoring graph: `scoring.batch_rows`, or by default 1,024 for a
        dense network, whose activations are small, 256 for others, 24 for features and 4 for tiles
        of features. At most 4 MiB of raw pixels, 8 MiB for features. If that limit applies, and
        always for features, the number is a multiple of 24, or 4 or 2, so that a record's bits do
        not depend on its place in the batch."""
        default = _DENSE_ROWS if self.model.network == "dense" else _OTHER_ROWS
        most = _BATCH_BYTES // self.image.image_bytes
        if self.features.is_on:
            default = _TILE_ROWS if self.image.tile is None else _ROWS_OF_TILES
            most = 2 * _BATCH_BYTES // self.image.image_bytes
        rows = self.scoring.batch_rows or default
        if rows <= most and not self.features.is_on:
            return rows
        return _whole_tiles(min(rows, most))

    def with_image(self, image: ImageConfig) -> "Configuration":
        return dataclasses.replace(self, image=image)

    def on(self, backbone: str) -> "Configuration":
        """The same for a model of a backbone's features, or of pixels if it is `none`, with the
        defaults that depend on that filled in.

        Raises:
          ConfigError: a setting cannot be combined with features.
        """
        if backbone == NONE:
            return self._on(backbone, _OF_PIXELS)
        return self._on(backbone, _OF_FEATURES)

    def _on(self, backbone: str, usual: "Usual") -> "Configuration":
        model = _filled(self.model, latent_dim=usual.latent_dim)
        if isinstance(model, VariationalConfig):
            model = _filled(model, likelihood=usual.likelihood)
        return dataclasses.replace(
            self,
            model=model,
            features=dataclasses.replace(self.features, backbone=backbone),
            image=_filled(self.image, fit=usual.fit),
            preprocessing=_filled(self.preprocessing, scaling=usual.scaling),
            training=_filled(self.training, augment=usual.augment),
        )


class Usual(NamedTuple):
    """Defaults where nothing is set; None if the records determine the value."""

    latent_dim: int
    likelihood: str
    fit: str
    scaling: str
    augment: str | None


_OF_PIXELS = Usual(LATENT_OF_PIXELS, LIKELIHOOD_OF_PIXELS, "pad", "unit", None)
# Mirrored images were found to add nothing to frozen features.
_OF_FEATURES = Usual(16, "gaussian", "stretch", "standard", "none")
_Section = TypeVar("_Section", bound=Validated)


def _filled(section: _Section, **usual: Any) -> _Section:
    """The section, with these defaults in place of None."""
    missing = {name: value for name, value in usual.items() if getattr(section, name) is None}
    return dataclasses.replace(section, **missing)


def configuration_from_mapping(mapping: Any) -> Configuration:
    """Builds the configuration; `model.kind` chooses the class of its `model` section.

    Raises:
      ConfigError: an unknown key, a wrong type or a value out of range; the message has its path.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"the configuration must be a mapping. Received: {mapping!r}")
    known = [field.name for field in dataclasses.fields(Configuration)]
    for name in mapping:
        if name not in known:
            raise ConfigError(f"unknown section {name!r}{suggestion(name, known)}")
    hints = typing.get_type_hints(Configuration)
    sections = {
        name: from_mapping(hints[name], mapping[name]) for name in mapping if name != "model"
    }
    return Configuration(model=model_config_from_mapping(mapping.get("model")), **sections)


def configuration_to_mapping(config: Configuration) -> dict[str, Any]:
    """The inverse of `configuration_from_mapping`."""
    mapping = to_mapping(config)
    mapping["model"] = model_config_to_mapping(config.model)
    return mapping


def configuration_to_yaml(config: Configuration) -> str:
    """The configuration as a YAML document that `latentbeam train --config` reads."""
    return yaml.safe_dump(configuration_to_mapping(config), sort_keys=False)


def configuration_from_yaml(text: str) -> Configuration:
    """The inverse of `configuration_to_yaml`."""
    return configuration_from_mapping(load_yaml(text))


def read_mapping(path: str | Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The mapping in a YAML file, changed by overrides such as `model.latent_dim=16`.

    Raises:
      ConfigError: the file cannot be read, is not a YAML mapping, or an override has no `=`.
    """
    try:
        mapping = load_yaml(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no such date, not UTF-8
        reason = " ".join(str(error).split())
        hint = "" if Path(path).exists() else f"; `latentbeam config > {path}` writes one"
        raise ConfigError(f"cannot read the configuration {path}: {reason}{hint}") from error
    if mapping is None:  # an empty file
        mapping = {}
    if not isinstance(mapping, dict):
        raise ConfigError(f"{path} must contain a mapping. Received: {mapping!r}")
    return with_overrides(mapping, overrides)


def with_overrides(mapping: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """`mapping` with each SECTION.KEY=VALUE applied; VALUE is parsed as YAML."""
    result = {
        key: dict(value) if isinstance(value, dict) else value for key, value in mapping.items()
    }
    for override in overrides:
        path, equals, text = override.partition("=")
        section, dot, key = path.partition(".")
        if not (equals and dot and key):
            raise ConfigError(
                f"--set takes SECTION.KEY=VALUE, such as model.latent_dim=16; `latentbeam config` "
                f"lists all keys. Received: {override!r}"
            )
        try:
            value = load_yaml(text)
        except (ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"--set {path}: not a YAML value. Received: {text!r}") from error
        if not isinstance(result.setdefault(section, {}), dict):
            raise ConfigError(f"{section} must be a mapping. Received: {result[section]!r}")
        result[section][key] = value
    return result
