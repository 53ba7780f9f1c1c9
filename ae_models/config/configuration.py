"""The configuration of a training: frozen, validated, and unchanged by a trip through YAML."""

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import yaml

from ae_models.config.augmentation import AMOUNTS, parse_augmentation
from ae_models.config.budget import OF_PIXELS, Budget, Pace
from ae_models.config.features import NONE, FeaturesConfig
from ae_models.config.key import key
from ae_models.config.maps import DENSITY, LIKELIHOOD, place_pixels
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
from ae_models.config.validated import Validated, from_mapping, suggestion, to_mapping
from ae_models.config.yaml_text import load_yaml
from ae_models.corruptions.expression import corruption_text
from ae_models.corruptions.families import FACTS
from ae_models.errors import ConfigError
from ae_models.likelihoods import options
from ae_models.losses import expression

# Raw pixels in one call of the network, whose activations may take about fifty times as much.
_BATCH_BYTES = 4 << 20
_DENSE_ROWS, _OTHER_ROWS = 1024, 256
_LEAST_TILE = 16  # pixels
# A multiple of the rows that oneDNN's matrix kernels process at once, 6 with AVX2 and 8 with
# AVX-512: in other batches, they round the last rows differently from the first.
_TILE_ROWS = 24
# Tiles need more memory: 24 rows take 290 MiB more, and 95% of the time.
_ROWS_OF_TILES = 4


@dataclasses.dataclass(frozen=True)
class ImageConfig(Validated):
    """The size and pixel type that every image is converted to, in training and in scoring alike.

    A field that is None is chosen from a sample of the images: channels and bits are those of most
    images; height and width have the median aspect ratio, at most 64 · 64 pixels, and no side
    greater than the median image's. With features, both are `features.size`.

    With `bits` of 9 to 15, levels are used unchanged, white is 2^bits − 1, and an image with a
    greater level is rejected. With `tile`, `height` and `width` are those of a tile.
    """

    section: ClassVar[str] = "image"

    height: int | None = key(
        None,
        "Height in pixels that images are resized to. null: chosen from a sample of the images "
        "(median aspect ratio, at most 64 x 64 pixels), or features.size with features.",
    )
    width: int | None = key(
        None, "Width in pixels that images are resized to. null: chosen like the height."
    )
    channels: int | None = key(None, "Number of channels. null: that of most images in the sample.")
    bits: int | None = key(
        None,
        "Bits per channel, 8 to 16; 9 to 15 are for cameras that store fewer levels in 16-bit "
        "files. null: those of most images in the sample.",
    )
    fit: Literal["pad", "crop", "stretch"] | None = key(
        None,
        "How an image of another size is resized: pad scales it to fit inside and pads with zeros, "
        "crop scales it to cover and crops around the centre, stretch scales each side separately. "
        "null: pad for pixels, stretch for features.",
    )
    convert: bool = key(
        False, "Convert images with other channels or bits instead of rejecting them."
    )
    reduce: bool = key(
        True,
        "Decode a JPEG of at least four times the target size per side at a half, a quarter or an "
        "eighth of its size, which is faster and changes pixels by about one level.",
    )
    max_pixels: int = key(
        89_478_485, "Maximum number of pixels per image; larger images are rejected."
    )
    tile: int | None = key(
        None,
        "Side in pixels of square tiles, with which images of any size are trained on and scored "
        "at full resolution. null: no tiles.",
    )
    overlap: int | None = key(
        None, "Pixels that neighbouring tiles share. null: an eighth of image.tile."
    )

    def validate(self) -> None:
        for field in ("height", "width", "channels"):
            value = getattr(self, field)
            self.require(value is None or value >= 1, field, "at least 1")
        self.require(self.bits is None or 8 <= self.bits <= 16, "bits", "null, or 8 to 16")
        # Pillow itself refuses twice its limit against decompression bombs.
        self.require(1 <= self.max_pixels <= 178_956_970, "max_pixels", "1 to 178956970")
        self._validate_tile()

    def _validate_tile(self) -> None:
        if self.tile is None:
            self.require(self.overlap is None, "overlap", "null without image.tile")
            return
        self.require(self.tile >= _LEAST_TILE, "tile", f"null, or at least {_LEAST_TILE}")
        place = self.tile_place
        self.require(
            self.tile % place == 0, "tile", f"a multiple of {place}, the pixels of a place"
        )
        for field in ("height", "width"):
            fits = getattr(self, field) in (None, self.tile)
            self.require(fits, field, f"null, or image.tile, {self.tile}")
        fits = 0 <= self.tile_overlap <= self.tile // 2 and self.tile_overlap % place == 0
        rule = f"null, or 0 to half of image.tile, a multiple of {place}, the pixels of a place"
        self.require(fits, "overlap", rule)

    @property
    def tile_side(self) -> int:
        """The side of a tile in pixels, for images in tiles."""
        if self.tile is None:
            raise ConfigError(f"image.tile is not set. Received: {self}")
        return self.tile

    @property
    def tile_place(self) -> int:
        """The side of one place of a tile's map, in pixels."""
        return place_pixels(self.tile_side)

    @property
    def tile_overlap(self) -> int:
        """`overlap`, or an eighth of a tile, in complete places."""
        if self.overlap is not None:
            return self.overlap
        return self.tile_side // 8 // self.tile_place * self.tile_place

    @property
    def tile_step(self) -> int:
        """Pixels from one tile to the next."""
        return self.tile_side - self.tile_overlap

    def of_frame(self) -> "ImageConfig":
        """The same with the height and width of a tile, if there are tiles."""
        if self.tile is None:
            return self
        return dataclasses.replace(self, height=self.tile, width=self.tile)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C), once all three are known."""
        if self.height is None or self.width is None or self.channels is None:
            raise ConfigError(f"the image's shape is not known yet. Received: {self}")
        return (self.height, self.width, self.channels)

    @property
    def dtype(self) -> str:
        """NumPy's name of the pixel type, once `bits` is known."""
        if self.bits is None:
            raise ConfigError(f"the image's bits are not known yet. Received: {self}")
        return "uint8" if self.bits == 8 else "uint16"

    @property
    def greatest_level(self) -> int:
        """White: 2^bits − 1, once `bits` is known."""
        if self.bits is None:
            raise ConfigError(f"the image's bits are not known yet. Received: {self}")
        return (1 << self.bits) - 1

    @property
    def image_bytes(self) -> int:
        """The size of one image's raw pixels."""
        height, width, channels = self.shape
        return height * width * channels * (2 if (self.bits or 8) > 8 else 1)


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
class TrainingConfig(Validated):
    """How Keras trains.

    Shares are of all records, exact, by the ranks of the hashes of their ids; each split has at
    least 8 records. `Budget` has the rule for `batch_size`, `epochs` and `patience` of None.

    `augment` None chooses what helps principal components to rebuild validation records, for a
    model that starts from them. Where features are rebuilt, an augmentation is applied once, to
    make a further record.

    `calibration_share` None is a tenth of the records, or as many as flagging at `scoring.fpr`
    takes, if that is more and leaves 55% of them for training: with fpr 0.01, 99 records of 220 to
    990, a tenth of any other number. With `group`, splits follow the ranks of the values' hashes,
    and a held-out split ends with the group that fills it; a record without a value is a group on
    its own.

    `optimizer` muon moves the matrices of dense layers by the orthogonal factor of their momentum
    (Jordan et al. 2024; scaled as in Liu et al. 2025), and all other weights by Adam at a tenth of
    the `learning_rate`: fewer but costlier steps, at rates about ten times those of `adam`.
    `binarise` is dynamic binarisation (Salakhutdinov and Murray 2008).
    """

    section: ClassVar[str] = "training"

    epochs: int | None = key(
        None,
        "Maximum number of epochs; early stopping may end training sooner. null: 60 for pixels and "
        "8 for features, more for few records.",
    )
    batch_size: int | None = key(
        None, "Records per batch. null: 16 to 128, chosen by the number of training records."
    )
    optimizer: Literal["adam", "muon"] = key(
        "adam",
        "Optimiser: adam, or muon, which updates the matrices of dense layers by their "
        "orthogonalised momentum.",
    )
    learning_rate: float = key(1e-3, "Learning rate; muon needs about ten times that of adam.")
    schedule: Literal["constant", "cosine"] = key(
        "constant", "Learning-rate schedule; cosine falls to 0 over training.epochs."
    )
    patience: int | None = key(
        None,
        "Number of epochs without a lower validation loss after which training stops. null: 8 for "
        "pixels and 3 for features, more for few records.",
    )
    augment: str | None = key(
        None,
        "Random changes of each training image, NAME[:AMOUNT] joined by +, such as flip+shift:0.1; "
        f"names: {', '.join(AMOUNTS)}, or none. null: chosen by an experiment on the validation "
        "records for pixels, none for features.",
    )
    validation_share: float = key(
        0.1, "Share of all records used for validation (at least 8 records)."
    )
    calibration_share: float | None = key(
        None,
        "Share of all records held out for calibration. null: a tenth, or as many as flagging at "
        "scoring.fpr takes.",
    )
    group: str | None = key(
        None,
        "Column of groups (of one part, video or batch): all records with the same value are in "
        "the same split. source groups records by file. null: no groups.",
    )
    shuffle_mebibytes: int = key(
        256, "Amount of raw pixels that are shuffled in memory at a time, in MiB."
    )
    binarise: bool = key(
        False,
        "Draw every value as 0 or 1 each time it is used in training, with its grey level as the "
        "probability.",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = key(
        "float32",
        "Precision of the networks' layers in training, a Keras dtype policy; weights, losses and "
        "the model bundle are float32.",
    )
    devices: Literal["one", "all"] = key(
        "one", "Train on one GPU, or share every batch among all GPUs."
    )
    tiles: int = key(
        8, "Maximum number of tiles per image to train on, drawn at random (with image.tile)."
    )
    seed: int = key(0, "Random seed; the same seed on the same machine gives the same weights.")

    def validate(self) -> None:
        for field in ("epochs", "batch_size", "patience"):
            value = getattr(self, field)
            self.require(value is None or value >= 1, field, "at least 1")
        self.require(self.tiles >= 1, "tiles", "at least 1")
        self.require(self.shuffle_mebibytes >= 1, "shuffle_mebibytes", "at least 1")
        if self.augment is not None:
            self.parsed("augment", parse_augmentation)
        self.require(self.learning_rate > 0, "learning_rate", "greater than 0")
        self.require(0 < self.validation_share < 0.5, "validation_share", "between 0 and 0.5")
        share = self.calibration_share
        usable = share is None or 0 < share < 0.5
        self.require(usable, "calibration_share", "null, or between 0 and 0.5")
        self.require(self.group != "", "group", "null, or the name of a column")
        self.require(self.seed >= 0, "seed", "at least 0")

    @property
    def augmentation_steps(self) -> tuple[Step, ...]:
        """The steps of `augment`, in order; none if it is None."""
        return () if self.augment is None else self.parsed("augment", parse_augmentation)

    def budget(self, records: int) -> Budget:
        """How long to train on this number of records."""
        return Budget.for_records(records, self.batch_size, self.epochs, self.patience)

    def for_records(self, records: int, pace: Pace = OF_PIXELS) -> "TrainingConfig":
        """The same with the budget for this number of training records filled in."""
        budget = Budget.for_records(records, self.batch_size, self.epochs, self.patience, pace=pace)
        return dataclasses.replace(self, **budget._asdict())


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
        "What anomaly maps show: error, what the model fails to rebuild; likelihood, what it finds "
        "unlikely (vae only); density, where features are unusual (features only); none, no maps. "
        "null: error for pixels, density for features.",
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
    image: ImageConfig = ImageConfig()
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    training: TrainingConfig = TrainingConfig()
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
        """The corruptions of an image before the backbone; none if pixels are rebuilt."""
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
