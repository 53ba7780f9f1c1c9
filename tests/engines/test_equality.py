"""The same rows, bit for bit, from every engine that Beam runs on."""

import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deploy.local import flink_cluster
from deploy.local.artifacts import job_server, prism
from tests.engines.scoring import score, succeed

pytestmark = pytest.mark.engines

_ENGINES: dict[str, Callable[[], list[str]]] = {
    "DirectRunner": lambda: ["--runner=DirectRunner"],
    "DirectRunner, two processes": lambda: [
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=2",
    ],
    "PrismRunner": lambda: ["--runner=PrismRunner", f"--prism_location={prism()}"],
    "FlinkRunner": lambda: [*flink_cluster.flags(), "--parallelism=2"],
    "FlinkRunner, LOOPBACK": lambda: [
        *(flag for flag in flink_cluster.flags() if not flag.startswith("--environment_")),
        *("--environment_type=LOOPBACK", "--parallelism=2"),
    ],
    "SparkRunner": lambda: [
        "--runner=SparkRunner",
        "--spark_master_url=local[2]",
        f"--spark_job_server_jar={job_server('spark')}",
    ],
}


def test_every_engine_gives_the_same_rows(
    images: Path, bundle_28: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = [
        score(runner, images, bundle_28, tmp_path / str(number), flags())
        for number, (runner, flags) in enumerate(_ENGINES.items())
    ]
    with capsys.disabled():
        print(f"\n\n{'runner':<34} {'rows':>8} {'rejects':>8} {'seconds':>8} digest")
        print(*(outcome.line() for outcome in outcomes), sep="\n")
    records = outcomes[0].ledger["records"]
    assert (records["read"], records["scored"], records["rejected"]) == (60_000, 59_960, 40)
    assert [outcome.ledger["records"] for outcome in outcomes] == [records] * len(outcomes)
    assert {outcome.digest for outcome in outcomes} == {outcomes[0].digest}


def test_every_engine_gives_the_same_clusters(
    images: Path, bundle_28: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    score("DirectRunner", images, bundle_28, run, [])
    found = []
    for number, (runner, flags) in enumerate(_ENGINES.items()):
        output = tmp_path / str(number)
        chosen = ["--method=gmm", "--clusters=10", "--sample=5000", *flags()]
        where = ["--scores", str(run), "--output", str(output)]
        succeed(runner, [sys.executable, "-m", "pipelines.cli", "cluster", *where, *chosen])
        found.append(pq.read_table(output / "clusters").sort_by("id"))
    assert found[0].num_rows == 59_960
    for number, runner in enumerate(_ENGINES):
        assert found[number].equals(found[0]), runner
