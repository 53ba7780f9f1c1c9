"""The configuration of what is rebuilt: pixels, or what a frozen network makes of them."""

import dataclasses
from typing import ClassVar

from ae_models.config.validated import Validated

NONE = "none"  # as a backbone: pixels themselves


@dataclasses.dataclass(frozen=True)
class FeaturesConfig(Validated):
    """What a model encodes and rebuilds: pixels, or feature maps of a frozen network.

    `backbone` is `efficientnet_lite0`, `keras:NAME` of `keras.applications`, the path of a `.keras`
    file or of a SavedModel's folder, or `none` for pixels. None: a backbone that is installed,
    where the images are photographs: in colour, or with a side of more than 96 pixels, and with
    none of less than 32.

    `layers` are those whose maps are taken; None: those that are usual for the backbone. All are
    brought to one grid and laid over each other. `detail` is a layer of more places, which only
    anomaly maps look at; None: that of about a quarter of the image's sides, where the backbone has
    one; `none`: none. `size` is the side of the square that images are
    stretched to where `image.height` and `image.width` are not set; None: the backbone's own.
    `pool` is the side of the grid; None: that of the coarsest map.
    """

    section: ClassVar[str] = "features"

    backbone: str | None = None
    layers: tuple[str, ...] | None = None
    detail: str | None = None
    size: int | None = None
    pool: int | None = None

    def validate(self) -> None:
        self.require(self.backbone != "", "backbone", "null, or the name of a backbone")
        self.require(self.layers != (), "layers", "null, or a list of at least one layer")
        self.require(self.detail != "", "detail", "null, none, or the name of a layer")
        for field in ("size", "pool"):
            value = getattr(self, field)
            self.require(value is None or value >= 1, field, "null, or at least 1")

    @property
    def is_on(self) -> bool:
        """Whether it is known that there is a backbone."""
        return self.backbone not in (None, NONE)
