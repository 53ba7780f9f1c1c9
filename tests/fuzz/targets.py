"""What is done with an item, and what may come of it."""

import abc
import collections
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ae_models.bundles.bundle import open_bundle
from ae_models.config.configuration import ImageConfig
from ae_models.errors import BundleError, InputError
from tests.fuzz.bundles import changed_bundle
from tests.fuzz.containers import container_seeds, written
from tests.fuzz.images import FORMATS, image_seeds
from tests.fuzz.mutations import mutated, with_png_checksums
from transforms.images.decode_batch import decode_batch
from transforms.records.batches import REJECT, BatchLimits, image_records
from transforms.sources import resolve_inputs

CONFIG = ImageConfig(height=40, width=30, channels=3, bits=8, convert=True)
KINDS = ("tfrecord", "parquet", "tar", "npz")
_SLOW_SECONDS = 0.25


class Outcome(NamedTuple):
    """What came of an item, and how long it took; of one among others, their mean."""

    what: str
    seconds: float


class Target(abc.ABC):
    """Items by their number; each follows from seed and number alone."""

    batch = 1  # items that are tried together

    def __init__(self, seed: int):
        self._seed = seed

    def generator(self, number: int) -> np.random.Generator:
        """The randomness of an item."""
        return np.random.default_rng([self._seed, number])

    @abc.abstractmethod
    def keep(self, number: int, folder: Path) -> None:
        """Writes an item to be looked at."""

    @abc.abstractmethod
    def tried(self, numbers: range) -> list[Outcome]:
        """An outcome for each item. Whatever is raised is a finding."""


class Images(Target):
    """Encoded images through `decode_batch`, many at once: pixels, or the reason of a reject."""

    batch = 32

    def __init__(self, seed: int):
        super().__init__(seed)
        self._seeds = image_seeds()

    def keep(self, number: int, folder: Path) -> None:
        (folder / f"image-{number}").write_bytes(self._data(number))

    def _data(self, number: int) -> bytes:
        generator = self.generator(number)
        seeds = self._seeds[FORMATS[number % len(FORMATS)]]
        others = self._seeds[FORMATS[int(generator.integers(len(FORMATS)))]]
        data = mutated(seeds[int(generator.integers(len(seeds)))], others, generator)
        if data.startswith(b"\x89PNG") and generator.random() < 0.7:
            data = with_png_checksums(data, generator)
        return data

    def tried(self, numbers: range) -> list[Outcome]:
        data = [self._data(number) for number in numbers]
        started = time.perf_counter()
        reasons = self._decoded(data)
        seconds = time.perf_counter() - started
        if seconds < _SLOW_SECONDS or len(data) == 1:
            return [Outcome(reason, seconds / len(data)) for reason in reasons]
        return [outcome for number in numbers for outcome in self.tried(range(number, number + 1))]

    def _decoded(self, data: list[bytes]) -> list[str]:
        ids = [str(index) for index in range(len(data))]
        batch = decode_batch(image_records(ids, "fuzz", data), CONFIG)
        assert len(batch) == len(data)
        assert batch.column("id").to_pylist() == ids
        images, rejects = batch.column("image").is_valid().to_pylist(), batch.column(REJECT)
        for has_image, reject in zip(images, rejects.to_pylist(), strict=True):
            assert has_image == (reject is None)
        return [reject["reason"] if reject else "decoded" for reject in rejects.to_pylist()]


class Container(Target):
    """A file of several records through its source, then `decode_batch`: `whole` if there was no
    reject, else `rejects`, or `refused` where the run would end with a message."""

    def __init__(self, seed: int, kind: str, folder: Path):
        super().__init__(seed)
        seeds = image_seeds()
        self._files = container_seeds([*seeds["PNG"][:3], *seeds["JPEG"][:2], seeds["GIF"][0]])[
            kind
        ]
        self._folder = folder

    def keep(self, number: int, folder: Path) -> None:
        written(folder, *self._file(number))

    def _file(self, number: int) -> tuple[str, bytes]:
        generator = self.generator(number)
        ending, data = self._files[int(generator.integers(len(self._files)))]
        same = [content for other, content in self._files if other == ending]
        return ending, mutated(data, same, generator)

    def tried(self, numbers: range) -> list[Outcome]:
        return [self._read(number) for number in numbers]

    def _read(self, number: int) -> Outcome:
        ending, data = self._file(number)
        path = written(self._folder, ending, data)
        if (
            np.random.default_rng([self._seed, number, 1]).random() < 0.5
        ):  # a good file first, which tells the columns
            good = next(content for other, content in self._files if other == ending)
            (self._folder / f"a{ending}").write_bytes(good)
            path = f"{self._folder}/*{ending}"
        started = time.perf_counter()
        try:
            rejected = list(self._rejected(path))
            what = "refused" if not rejected else "rejects" if any(rejected) else "whole"
        except InputError:
            what = "refused"
        (self._folder / f"a{ending}").unlink(missing_ok=True)
        (self._folder / f"fuzz{ending}").unlink()
        return Outcome(what, time.perf_counter() - started)

    def _rejected(self, path: str) -> Iterator[bool]:
        """Of each record, whether it is a reject."""
        for source in resolve_inputs([path]):
            source.carried()
            for task in source.tasks():
                for batch in source.read(task, BatchLimits(rows=8)):
                    decoded = decode_batch(batch, CONFIG)
                    assert len(decoded) == len(batch)
                    yield from decoded.column(REJECT).is_valid().to_pylist()


class Bundles(Target):
    """A bundle with one change: `refused`. One that is opened, or anything but a BundleError, is
    a finding."""

    def __init__(self, seed: int, bundle: Path, folder: Path):
        super().__init__(seed)
        self._bundle, self._copy = bundle, folder / "bundle"

    def keep(self, number: int, folder: Path) -> None:
        changed_bundle(self._bundle, folder / f"bundle-{number}", self.generator(number))

    def tried(self, numbers: range) -> list[Outcome]:
        return [self._opened(number) for number in numbers]

    def _opened(self, number: int) -> Outcome:
        change = changed_bundle(self._bundle, self._copy, self.generator(number))
        started = time.perf_counter()
        try:
            open_bundle(self._copy)
        except BundleError as error:
            if str(self._copy) not in str(error):
                raise
            return Outcome("refused", time.perf_counter() - started)
        raise AssertionError(f"a changed bundle was opened: {change}")


class Every(Target):
    """Items of all targets by turns, for a run so short that to start processes takes longest."""

    batch = 40
    _IMAGES = 32  # of each batch; the others are shared out

    def __init__(self, seed: int, parts: dict[str, Target]):
        super().__init__(seed)
        self._images, *self._others = parts.items()

    def keep(self, number: int, folder: Path) -> None:
        self._part(number)[1].keep(number, folder)

    def _part(self, number: int) -> tuple[str, Target]:
        place = number % self.batch - self._IMAGES
        return self._images if place < 0 else self._others[place % len(self._others)]

    def tried(self, numbers: range) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for _, same in itertools.groupby(numbers, lambda number: id(self._part(number)[1])):
            alike = list(same)
            name, part = self._part(alike[0])
            for what, seconds in part.tried(range(alike[0], alike[-1] + 1)):
                outcomes.append(Outcome(f"{name}: {what}", seconds))
        return outcomes


def targets(folder: Path, bundle: Path | None) -> dict[str, Callable[[int], Target]]:
    """How each target is made of a seed; bundles only where there is one."""
    made: dict[str, Callable[[int], Target]] = {"images": Images}
    for kind in KINDS:
        made[kind] = lambda seed, kind=kind: Container(seed, kind, folder)  # type: ignore[misc]
    if bundle is not None:
        made["bundles"] = lambda seed: Bundles(seed, bundle, folder)
        made["every"] = lambda seed: Every(
            seed, {name: make(seed) for name, make in made.items() if name != "every"}
        )
    return made


def counted(outcomes: list[Outcome]) -> dict[str, int]:
    """How often each thing came of an item."""
    return dict(collections.Counter(outcome.what for outcome in outcomes))
