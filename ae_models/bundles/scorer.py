"""Scores raw pixels with a bundle. Imports TensorFlow when one is loaded."""

import collections
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np

from ae_models.bundles.names import ANOMALY_MAP, ERROR_MAP, LATENTS, MAPS, SCORE_PREFIX, SCORING
from ae_models.config.configuration import Configuration
from ae_models.config.maps import NO_MAP
from ae_models.config.validated import suggestion
from ae_models.errors import BundleError, ConfigError
from ae_models.scores import primary_score, score_names

# While the operations of one call wait for each other, those of another use the cores: with a small
# network, three concurrent calls take three quarters of the time. With a convolutional one, whose
# activations are large, two take nine tenths. A backbone's are larger still: two calls took
# 600 MiB more, and even three took 97% of the time.
_MOST_CALLS_AT_ONCE, _MOST_OF_LARGE_ACTIVATIONS, _MOST_OF_BACKBONES = 3, 2, 1


def output_names(config: Configuration) -> tuple[str, ...]:
    """The outputs of such a bundle for each record: the latents, and `score_<name>`."""
    latents = LATENTS if config.model.kind == "vae" else LATENTS[:1]
    return (*latents, *(SCORE_PREFIX + name for name in score_names(config)))


def check_outputs(config: Configuration, outputs: Sequence[str] | None) -> tuple[str, ...]:
    """Checks and returns `outputs`; None: all outputs.

    Raises:
      ConfigError: the bundle has no such output.
    """
    known = output_names(config)
    for name in outputs or ():
        if name not in known:
            raise ConfigError(f"the bundle has no output {name!r}{suggestion(name, known)}")
    return known if outputs is None else tuple(outputs)


def chosen_score(
    config: Configuration, name: str | None, names: Sequence[str] | None = None
) -> str:
    """The score requested by its name or by its column, `score_<name>`; None: the configured
    primary score.

    Args:
      config: the bundle's configuration.
      name: the requested score.
      names: the bundle's scores; None: those of the configuration, which loads Keras.

    Raises:
      ConfigError: the bundle has no such score.
    """
    known = score_names(config) if names is None else names
    if name is None:
        return primary_score(config, known)
    for candidate in (name, name.removeprefix(SCORE_PREFIX)):
        if candidate in known:
            return candidate
    raise ConfigError(f"the bundle has no score {name!r}{suggestion(name, known)}")


def check_maps(config: Configuration, maps: Collection[str]) -> tuple[str, ...]:
    """Checks `maps` and returns them in the order of `MAPS`.

    Raises:
      ConfigError: the bundle has no such map.
    """
    if ANOMALY_MAP in maps and config.scoring.map == NO_MAP:
        raise ConfigError(
            "the bundle has no anomaly map: it was trained with scoring.map none, or before maps "
            "existed; train it again"
        )
    return tuple(name for name in MAPS if name in maps)


class Scorer:
    """A bundle's SavedModel in memory.

    Every batch is padded to one fixed shape, so that a record's scores have the same bits in
    whatever batch it arrives.

    Args:
      path: the bundle's folder, which the caller has checked (`open_bundle`) or just written.
      config: the bundle's configuration.
      outputs: the requested ones of `output_names`; whatever they do not need is not computed.
        None: all.
      primary: the score that is also returned as `score` (`chosen_score`).
      maps: those of `MAPS` that may be requested.

    Raises:
      ConfigError: the bundle has no such output, score or map.
      BundleError: the SavedModel cannot be loaded.
    """

    def __init__(
        self,
        path: Path,
        config: Configuration,
        outputs: Sequence[str] | None = None,
        primary: str | None = None,
        maps: Collection[str] = (ERROR_MAP,),
    ):
        self._wanted = check_outputs(config, outputs)
        self.image = config.image
        self.batch_rows = config.batch_rows
        self._pool = ThreadPoolExecutor(_calls_at_once(config), "scorer")
        self.primary = SCORE_PREFIX + chosen_score(config, primary)
        from ae_models.bundles.saved_model import SavedModel  # noqa: PLC0415 - imports TensorFlow

        try:
            self._model = SavedModel(path, config.image, output_names(config))
        except Exception as error:  # TensorFlow raises anything for a meaningless graph
            raise BundleError(f"{path}: cannot load {SCORING}: {error}") from error
        self._maps = check_maps(config, maps)
        self._functions = self._model.functions({*self._wanted, self.primary, *self._maps})

    def score(self, pixels: np.ndarray, maps: bool = False) -> dict[str, np.ndarray]:
        """Scores (N, H, W, C) raw pixels.

        Returns:
          The requested ones of `latent_mean` and, for a VAE, `latent_stddev`, (N, d), and
          `score_<name>`, (N,); `score`, the primary score; and, if `maps`, `error_map`, (N, H, W),
          and `anomaly_map`, (N, h, w): all float32.
        """
        return joined(self.score_parts(pixels, maps))

    def reconstruct(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """The scaled `input` of (N, H, W, C) raw pixels, and its `reconstruction`."""
        return joined(self._parts("reconstruct", pixels))

    def score_parts(
        self, pixels: np.ndarray, maps: bool = False
    ) -> Iterator[dict[str, np.ndarray]]:
        """`score` in parts, in order, each of `batch_rows` records except the last: processing one
        part overlaps with scoring the next."""
        for outputs in self._parts("score_with_maps" if maps else "score", pixels):
            score = outputs[self.primary]
            if self.primary not in self._wanted:
                del outputs[self.primary]
            yield outputs | {"score": score}

    def _parts(self, signature: str, pixels: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        self._check(pixels)
        function, rows = self._functions[signature], self.batch_rows

        def outputs_from(start: int) -> dict[str, np.ndarray]:
            part = pixels[start : start + rows]
            outputs = function(_padded(part, rows))
            return {name: values[: len(part)] for name, values in outputs.items()}

        # An empty input still takes one padded batch, for the names and shapes of the outputs.
        return self._in_order(outputs_from, range(0, max(1, len(pixels)), rows))

    def _in_order(
        self, call: Callable[[int], dict[str, np.ndarray]], starts: range
    ) -> Iterator[dict[str, np.ndarray]]:
        """The results of the calls, all of which start when the first result is requested. After an
        error none is still running: a caller that retries with fewer records needs their memory."""
        calls = collections.deque(self._pool.submit(call, start) for start in starts)
        try:
            while calls:
                yield calls.popleft().result()
        finally:
            wait([left for left in calls if not left.cancel()])

    def _check(self, pixels: np.ndarray) -> None:
        if pixels.shape[1:] != self.image.shape or pixels.dtype != self.image.dtype:
            raise ValueError(
                f"pixels must be (N, {', '.join(map(str, self.image.shape))}) {self.image.dtype}. "
                f"Received: {pixels.shape} {pixels.dtype}"
            )


def joined(parts: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Joins the outputs of consecutive parts."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _calls_at_once(config: Configuration) -> int:
    """One more than the threads per operation, so that one is ready when another ends."""
    if config.features.is_on:
        return _MOST_OF_BACKBONES
    dense = config.model.network == "dense"
    most = _MOST_CALLS_AT_ONCE if dense else _MOST_OF_LARGE_ACTIVATIONS
    threads = int(os.environ.get("TF_NUM_INTRAOP_THREADS", "0")) or len(os.sched_getaffinity(0))
    return min(most, 1 + threads)


def _padded(pixels: np.ndarray, rows: int) -> np.ndarray:
    if len(pixels) == rows:
        return pixels
    result = np.zeros((rows, *pixels.shape[1:]), pixels.dtype)
    result[: len(pixels)] = pixels
    return result
