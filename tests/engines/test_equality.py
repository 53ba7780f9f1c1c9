"""The same rows, bit for bit, from every engine that Beam runs on."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.engines.scoring import ENGINES, Outcome, score, succeed

pytestmark = pytest.mark.engines


def test_every_engine_gives_the_same_rows(
    scored_by: Callable[[str], Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = [scored_by(engine) for engine in ENGINES]
    with capsys.disabled():
        print(f"\n\n{'runner':<34} {'rows':>8} {'rejects':>8} {'seconds':>8} digest")
        print(*(outcome.line() for outcome in outcomes), sep="\n")
    records = outcomes[0].ledger["records"]
    assert (records["read"], records["scored"], records["rejected"]) == (60_000, 59_960, 40)
    assert [outcome.ledger["records"] for outcome in outcomes] == [records] * len(outcomes)
    assert {outcome.digest for outcome in outcomes} == {outcomes[0].digest}


def test_every_engine_gives_the_same_rows_of_features(
    photographs: Path,
    bundle_of_features: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcomes = [
        score(
            engine,
            photographs,
            bundle_of_features,
            tmp_path / str(number),
            [*flags(), "--maps=all", "--fpr=0.2"],
        )
        for number, (engine, flags) in enumerate(ENGINES.items())
    ]
    with capsys.disabled():
        print("\n", *(outcome.line() for outcome in outcomes), sep="\n")
    for outcome in outcomes:
        records = outcome.ledger["records"]
        assert (records["read"], records["scored"], records["rejected"]) == (240, 236, 4)
    assert {outcome.digest for outcome in outcomes} == {outcomes[0].digest}
    _check_same_places([outcome.folder for outcome in outcomes])


def _check_same_places(runs: Sequence[Path]) -> None:
    """Regions and maps are the same, bit for bit."""
    for kind, order in (("regions", ["id", "x", "y"]), ("maps", ["id"])):
        tables = [
            pq.read_table(run / kind).sort_by([(name, "ascending") for name in order])
            for run in runs
        ]
        assert tables[0].num_rows > 0
        for table in tables[1:]:
            assert table.to_pylist() == tables[0].to_pylist(), kind
    assert tables[0].num_rows == 236


def test_every_engine_gives_the_same_clusters(
    scored_by: Callable[[str], Outcome], tmp_path: Path
) -> None:
    run = scored_by("DirectRunner").folder
    found = []
    for number, (runner, flags) in enumerate(ENGINES.items()):
        output = tmp_path / str(number)
        chosen = ["--method=gmm", "--clusters=10", "--sample=5000", *flags()]
        where = ["--scores", str(run), "--output", str(output)]
        succeed(runner, [sys.executable, "-m", "pipelines.cli", "cluster", *where, *chosen])
        found.append(pq.read_table(output / "clusters").sort_by("id"))
    assert found[0].num_rows == 59_960
    for number, runner in enumerate(ENGINES):
        assert found[number].equals(found[0]), runner
