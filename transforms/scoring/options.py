"""Options for scoring."""

import dataclasses
from typing import Literal

from ae_models.config.extras import require
from ae_models.config.validated import Validated
from transforms.maps.pictures import MapFormat


@dataclasses.dataclass(frozen=True)
class ScoreOptions(Validated):
    """Options that travel from the caller to the model.

    Args:
      fpr: `is_anomaly` is `p_value <= fpr`; if None, the bundle's configured rate.
      error_maps: whether to add a column `error_map`, H·W float32 per record: the squared error of
        each pixel.
      outputs: the latent and score columns to compute, besides `score` and what is derived from
        it; if None, all that the bundle has. What only other columns need is not computed.
      primary: the name or column of the score from which `score`, `p_value` and `is_anomaly` are
        computed; if None, the bundle's primary score.
      regions: whether to find regions in records.
      maps: which anomaly maps are stored (requires regions): `all`, or `flagged` for records that
        are flagged or have a region; if None, none.
      map_format: how maps are stored: `parquet`, as numbers in a column, or `png`, as pictures.
      tiles: for images in tiles, whether to store rows of the tiles too.

    Raises:
      ConfigError: `fpr` is not above 0 and below 1, or a value has the wrong type.
      MissingExtraError: pictures are requested, and matplotlib is not installed.
    """

    fpr: float | None = None
    error_maps: bool = False
    outputs: tuple[str, ...] | None = None
    primary: str | None = None
    regions: bool = False
    maps: Literal["all", "flagged"] | None = None
    map_format: MapFormat = "parquet"
    tiles: bool = False

    def validate(self) -> None:
        self.require(self.fpr is None or 0 < self.fpr < 1, "fpr", "above 0 and below 1")
        self.require(self.map_format in ("parquet", "png"), "map_format", "parquet or png")
        needs_maps = "parquet without --maps all or --maps flagged"
        self.require(
            self.maps is not None or self.map_format == "parquet", "map_format", needs_maps
        )
        if self.map_format == "png":
            require("pictures of anomaly maps", "matplotlib")
