"""Records chosen at random, by seed."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits

from ae_models.errors import ConfigError, InputError
from ae_models.training.splits import id_hashes
from transforms.reading.sample_ids import choose_ids
from transforms.records.where import Where

DIGITS = [f"digits/{n}" for n in range(1797)]


@pytest.mark.parametrize("seed", [0, 7])
def test_those_of_the_least_hashes_are_chosen(seed: int) -> None:
    hashes = id_hashes(f"{seed}/{record}" for record in DIGITS)
    expected = [DIGITS[n] for n in np.argsort(hashes)]
    assert choose_ids(["builtin:digits"], 50, seed) == expected[:50]
    assert choose_ids(["builtin:digits"], 5000, seed) == expected


def test_all_records_are_as_likely() -> None:
    chosen = [
        int(i.partition("/")[2]) for s in range(20) for i in choose_ids(["builtin:digits"], 50, s)
    ]
    assert stats.kstest(chosen, "uniform", args=(0, 1797)).pvalue > 1e-3


def test_only_those_that_meet_every_condition() -> None:
    wheres = [Where.parse("label!=3"), Where.parse("label=3,4,5")]
    chosen = choose_ids(["builtin:digits"], 5000, 0, wheres)
    labels = load_digits().target
    assert sorted(chosen) == sorted(
        f"digits/{n}" for n in np.flatnonzero((labels == 4) | (labels == 5))
    )
    with pytest.raises(ConfigError, match="lable"):
        choose_ids(["builtin:digits"], 5, 0, [Where.parse("lable=3")])


def test_files_are_not_opened(image_folder: Path) -> None:
    for path in image_folder.rglob("*.png"):
        path.unlink()
        os.mkfifo(path)  # opening it would block
    ids = choose_ids([str(image_folder)], 100, 0)
    assert sorted(ids) == sorted(
        str(p.relative_to(image_folder)) for p in image_folder.rglob("*.png")
    )


def test_no_input() -> None:
    with pytest.raises(InputError, match="nowhere"):
        choose_ids(["/nowhere"], 1, 0)
