"""What a caller may ask of scoring."""

import dataclasses
from typing import Literal

from ae_models.config.extras import require
from ae_models.config.validated import Validated
from transforms.maps.pictures import MapFormat


@dataclasses.dataclass(frozen=True)
class ScoreOptions(Validated):
    """What travels from whoever asks for scores to the model.

    Args:
      fpr: `is_anomaly` is `p_value <= fpr`; None: as the bundle's configuration says.
      error_maps: a column `error_map` too, H·W float32 a record: the squared error of each pixel.
      outputs: the columns of latents and scores that are wanted, besides `score` and what is made
        of it; None: all that the bundle has. What only others need is not computed.
      primary: the score that `score`, `p_value` and `is_anomaly` are made of, by its name or its
        column's; None: the bundle's own.
      regions: whether regions of records are found.
      maps: with regions, of which records anomaly maps are kept: `all`, or `flagged`, those that
        are flagged or have a region; None: of none.
      map_format: what maps are kept as: `parquet`, numbers in a column, or `png`, pictures.
      tiles: of images in tiles, whether rows of the tiles are kept too.

    Raises:
      ConfigError: `fpr` is not above 0 and below 1, or a value is of another type.
      MissingExtraError: pictures are wanted, and matplotlib is not installed.
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
