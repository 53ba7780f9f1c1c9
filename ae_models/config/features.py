"""The configuration of what is reconstructed: pixels, or features of a frozen network."""

import dataclasses
from typing import ClassVar

from ae_models.config.validated import Validated, key

NONE = "none"  # as a backbone: pixels themselves


@dataclasses.dataclass(frozen=True)
class FeaturesConfig(Validated):
    """What a model encodes and reconstructs: pixels, or feature maps of a frozen network."""

    section: ClassVar[str] = "features"

    backbone: str | None = key(
        None,
        "Frozen network whose features are reconstructed: efficientnet_lite0, keras:NAME of "
        "keras.applications, the path of a .keras file or of a SavedModel folder, or none for "
        "pixels. null: an installed backbone if the images are photographs (in colour, or with a "
        "side of more than 96 pixels, and none with a side of less than 32), otherwise pixels.",
    )
    layers: tuple[str, ...] | None = key(
        None,
        "Backbone layers whose feature maps are stacked, resized to one grid. null: the backbone's "
        "usual layers.",
    )
    detail: str | None = key(
        None,
        "Backbone layer with a finer grid, used by anomaly maps only, or none. null: the layer "
        "with at least a fifth of the image's sides, if it is finer than `layers`.",
    )
    size: int | None = key(
        None,
        "Side in pixels of the square that images are stretched to where image.height and "
        "image.width are null. null: the backbone's own.",
    )
    pool: int | None = key(
        None, "Side of the grid of features. null: that of the coarsest feature map."
    )

    def validate(self) -> None:
        self.require(self.backbone != "", "backbone", "null, or the name of a backbone")
        self.require(self.layers != (), "layers", "null, or a list of at least one layer")
        self.require(self.detail != "", "detail", "null, none, or the name of a layer")
        for field in ("size", "pool"):
            value = getattr(self, field)
            self.require(value is None or value >= 1, field, "null, or at least 1")

    @property
    def is_on(self) -> bool:
        """Whether a backbone is set."""
        return self.backbone not in (None, NONE)
