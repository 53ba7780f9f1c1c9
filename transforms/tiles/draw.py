"""Drawing tiles of an image for training."""

import numpy as np

from ae_models.config.configuration import Configuration
from ae_models.training.splits import id_hashes
from transforms.tiles.cut import Tile, cut_image


def drawn_tiles(data: memoryview | np.ndarray, record: str, config: Configuration) -> list[Tile]:
    """Draws up to `training.tiles` tiles of an image, encoded or (H, W, C), determined by its id
    and the seed.

    Raises:
      RecordError: the image cannot be decoded.
      StageError: the decoders fail for every image.
    """
    cut = cut_image(data, config.image)
    seed = [config.training.seed, int(id_hashes([record])[0])]
    chosen = np.random.default_rng(seed).permutation(len(cut.grid))[: config.training.tiles]
    numbered = zip(range(int(chosen.max()) + 1), cut.tiles, strict=False)
    wanted = set(chosen.tolist())
    return [tile for number, tile in numbered if number in wanted]


def tile_id(record: str, tile: Tile) -> str:
    """The id of a tile: `ID#X,Y`."""
    return f"{record}#{tile.x},{tile.y}"


def record_of(tile: str) -> str:
    """The id of the image to which a tile belongs."""
    return tile.rpartition("#")[0]
