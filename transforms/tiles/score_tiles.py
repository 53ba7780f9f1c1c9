"""Scoring images by their tiles, which are batched across images."""

import contextlib
import dataclasses
import itertools
from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np

from ae_models.bundles.names import ANOMALY_MAP, SCORE_PREFIX
from ae_models.bundles.scorer import Scorer
from ae_models.config.configuration import Configuration
from ae_models.config.maps import NO_MAP
from transforms.execution.background import read_ahead
from transforms.execution.isolation import failed
from transforms.images.orientation import Stored
from transforms.maps.locate import PEAK
from transforms.records.rejects import Reason, RecordError, Stage
from transforms.tiles.canvas import MapCanvas, PixelCanvas
from transforms.tiles.cut import CutImage, Tile, cut_image
from transforms.tiles.pooling import pooled

_PEAK_COLUMN = SCORE_PREFIX + PEAK
Reject = dict[str, str]


class TiledImage(NamedTuple):
    """The results for an image.

    Attributes:
      stored: the size and orientation of the image in its file.
      outputs: the outputs of the image, as a `Scorer` returns them for a record.
      tiles: the outputs of its tiles, (n, ...), and where these start, `x` and `y`, (n,) int32.
      map: (h, w) float32, of the image as stored; None if the bundle has no map.
      pixels: (h, w, C), the image at the size of its map; None if not requested.
    """

    stored: Stored
    outputs: dict[str, np.ndarray]
    tiles: dict[str, np.ndarray]
    map: np.ndarray | None
    pixels: np.ndarray | None = None


class _Step(NamedTuple):
    """A newly opened image, one of its tiles, or the reason why it has no more."""

    image: int
    cut: CutImage | None = None
    tile: Tile | None = None
    reject: Reject | None = None


class TileScorer:
    """Scores images of any size.

    Args:
      scorer: the scorer of tiles.
      config: the configuration of the bundle.
      pixels: whether to assemble images at the size of their maps, too.
    """

    def __init__(self, scorer: Scorer, config: Configuration, pixels: bool = False):
        self._scorer, self._config, self._pixels = scorer, config, pixels

    def score(self, images: Sequence[memoryview | np.ndarray]) -> list[TiledImage | Reject]:
        """Returns the results for each image, encoded or (H, W, C), or the reject if it cannot be
        decoded.

        Tiles are cut in the background while others are scored; tiles of several images share a
        call of the model. Memory is that of a few calls of the model, a row of tiles, and the maps
        of all images, plus pictures of the same size if requested.
        """
        work = _Work(self._config, self._scorer.primary, len(images), self._pixels)
        rows = self._scorer.batch_rows
        waiting: list[tuple[int, Tile]] = []
        with contextlib.closing(read_ahead(self._steps(images), 2 * rows)) as steps:
            for step in steps:
                if step.tile is not None:
                    waiting.append((step.image, step.tile))
                else:
                    work.begin_or_end(step)
                if len(waiting) == rows:
                    self._score(waiting, work)
                    waiting = []
        if waiting:
            self._score(waiting, work)
        return work.results()

    def _score(self, waiting: Sequence[tuple[int, Tile]], work: "_Work") -> None:
        pixels = np.stack([tile.pixels for _, tile in waiting])
        outputs = self._scorer.score(pixels, maps=work.has_map)
        for image, group in itertools.groupby(enumerate(waiting), lambda item: item[1][0]):
            rows, tiles = zip(*((row, tile) for row, (_, tile) in group), strict=True)
            own = slice(rows[0], rows[-1] + 1)
            work.add(image, tiles, {name: values[own] for name, values in outputs.items()})

    def _steps(self, images: Sequence[memoryview | np.ndarray]) -> Generator[_Step]:
        for number, data in enumerate(images):
            try:
                cut = cut_image(data, self._config.image)
                yield _Step(number, cut=cut)
                for tile in cut.tiles:
                    yield _Step(number, tile=tile)
            except RecordError as error:
                yield _Step(number, reject=error.at(Stage.DECODE))
            except MemoryError as error:
                yield _Step(number, reject=failed(error, Stage.DECODE, Reason.OUT_OF_MEMORY))


@dataclasses.dataclass
class _Open:
    """An image whose tiles have not all been scored yet."""

    stored: Stored
    left: int
    canvas: MapCanvas | None
    picture: PixelCanvas | None
    places: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    outputs: list[dict[str, np.ndarray]] = dataclasses.field(default_factory=list)


class _Work:
    """The images of one call."""

    def __init__(self, config: Configuration, primary: str, images: int, pixels: bool):
        self._config, self._primary, self._pixels = config, primary, pixels
        self.has_map = config.scoring.map != NO_MAP
        self._open: dict[int, _Open] = {}
        self._done: list[TiledImage | Reject | None] = [None] * images

    def begin_or_end(self, step: _Step) -> None:
        """Opens an image, or abandons one."""
        if step.reject is not None:
            self._open.pop(step.image, None)
            self._done[step.image] = step.reject
        elif step.cut is not None:
            stored, grid, _ = step.cut
            canvas = MapCanvas(stored, grid, self._config.image) if self.has_map else None
            picture = PixelCanvas(stored, self._config.image) if self._pixels else None
            self._open[step.image] = _Open(stored, len(grid), canvas, picture)

    def add(self, image: int, tiles: Sequence[Tile], outputs: dict[str, np.ndarray]) -> None:
        """Adds the outputs of some tiles, unless their image was abandoned."""
        own = self._open.get(image)
        if own is None:
            return
        maps = outputs.pop(ANOMALY_MAP, None)
        if own.canvas is not None and maps is not None:
            for tile, places in zip(tiles, maps, strict=True):
                own.canvas.add(tile.x, tile.y, places)
        if own.picture is not None:
            for tile in tiles:
                own.picture.add(tile.x, tile.y, tile.pixels)
        own.places += [(tile.x, tile.y) for tile in tiles]
        own.outputs.append({name: values.copy() for name, values in outputs.items()})
        own.left -= len(tiles)
        if not own.left:
            self._done[image] = self._finished(self._open.pop(image))

    def _finished(self, own: _Open) -> TiledImage:
        tiles = {name: np.concatenate([o[name] for o in own.outputs]) for name in own.outputs[0]}
        found = pooled(tiles, self._config.scoring.top_tiles)
        whole = None if own.canvas is None else own.canvas.map()
        if whole is not None:
            # The peak of the assembled map, so that a peak above the threshold implies a region.
            peaks = {"score"} if self._primary == _PEAK_COLUMN else set()
            found |= dict.fromkeys(found.keys() & {_PEAK_COLUMN, *peaks}, whole.max())
        places = np.array(own.places, np.int32)
        tiles |= {"x": places[:, 0], "y": places[:, 1]}
        pixels = None if own.picture is None else own.picture.pixels
        return TiledImage(own.stored, found, tiles, whole, pixels)

    def results(self) -> list[TiledImage | Reject]:
        """The results of all images, in order."""
        return [done for done in self._done if done is not None]
