"""Resetting the flags of a finished run: what changes, what stays, what is refused."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from ae_models.errors import ConfigError, InputError, LatentbeamError, OutputError
from pipelines.commands.evaluate import evaluate
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.commands.verify import verify
from tests.support.anomalous import Anomalous
from tests.support.command import run_command
from transforms.records.rejects import REJECTS_SCHEMA
from transforms.results import relabel as module
from transforms.runs.finish import finish_run
from transforms.runs.ledger import SCORES, read_ledger
from transforms.runs.run_lock import held
from transforms.runs.shards import ShardLimits, ShardWriter
from transforms.scoring.columns import portable, scored_columns
from transforms.storage.staging import staging_folder

FPR = 0.05
_FACTS = {
    "records": {"read": None, "scored": 0, "rejected": 1, "rejected_by_reason": {"empty": 1}},
    "where": ["label!=0"],
    "model": {"fingerprint": "f00", "fpr": FPR},
    "seconds": 3.5,
}


def _scored(first: int, p_values: np.ndarray, plain: bool = False) -> pa.RecordBatch:
    generator = np.random.default_rng(first)
    rows = len(p_values)
    outputs = {
        "latent_mean": generator.normal(size=(rows, 3)).astype(np.float32),
        "score": np.where(p_values < 0.5, np.nan, p_values).astype(np.float32),
        "score_kl": generator.normal(size=rows).astype(np.float32),
    }
    columns = {
        "id": pa.array([f"r{n:06d}" for n in range(first, first + rows)], pa.string()),
        "source": pa.array(["file"] * rows, pa.string()),
        "label": pa.array(generator.integers(0, 3, rows)),
        **scored_columns(outputs, p_values, p_values <= FPR, "f00"),
    }
    batch = pa.RecordBatch.from_pydict(columns).replace_schema_metadata({"by": "a test"})
    return portable(batch).replace_schema_metadata({"by": "a test"}) if plain else batch


def _write_run(
    folder: Path,
    files: Sequence[np.ndarray],
    group_rows: int = 50,
    plain: bool = False,
    compression: str = "zstd",
) -> Path:
    """A finished run whose score files have these p-values, with one file of rejects."""
    run_id = uuid.uuid4().hex
    staging = staging_folder(str(folder), run_id)
    limits = ShardLimits(group_rows=group_rows, compression=compression)
    shards, first = [], 0
    for values in files:
        writer = ShardWriter(staging, SCORES, limits)
        for start in range(0, max(1, len(values)), group_rows):
            part = values[start : start + group_rows]
            shards += writer.add(_scored(first, part, plain))
            first += len(part)
        shards += writer.close()
    writer = ShardWriter(staging, "rejects", ShardLimits())
    row = {"id": "x", "source": "file", "stage": "read", "reason": "empty", "message": "0 bytes"}
    shards += writer.add(pa.RecordBatch.from_pylist([row], REJECTS_SCHEMA))
    shards += writer.close()
    facts = {**_FACTS, "records": {**_FACTS["records"], "scored": first}}
    finish_run(str(folder), run_id, shards=shards, facts=facts)
    return folder


def _values(rows: int, seed: int = 0) -> np.ndarray:
    """Values like conformal p-values: some equal, some small."""
    generator = np.random.default_rng(seed)
    uniform = generator.uniform(size=rows) ** generator.choice([1, 4], rows)
    return np.ceil(uniform * 500) / 500


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return _write_run(tmp_path / "run", [_values(230, 1), _values(40, 2), _values(1, 3)])


def _all_p_values(run: Path) -> np.ndarray:
    return pq.read_table(run / "scores")["p_value"].to_numpy()


def _column_bytes(path: Path) -> list[dict[str, Any]]:
    """The rows of each row group, and each column's bytes as stored in the file."""
    content, metadata, groups = path.read_bytes(), pq.read_metadata(path), []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        chunks = {"rows": group.num_rows}
        for column in map(group.column, range(group.num_columns)):
            start = column.dictionary_page_offset or column.data_page_offset
            chunks[column.path_in_schema] = content[start : start + column.total_compressed_size]
        groups.append(chunks)
    return groups


def _check_same_but_flags(before: Path, after: Path, threshold: float) -> None:
    """Every file, row group, column and byte is unchanged, except the flags."""
    files = [sorted(p.relative_to(f) for p in f.glob("*/*")) for f in (before, after)]
    assert files[0] == files[1]
    for name in files[0]:
        old, new = before / name, after / name
        if name.parts[0] != "scores":
            assert old.read_bytes() == new.read_bytes()
            continue
        assert pq.read_schema(new).equals(pq.read_schema(old), check_metadata=True)
        assert pq.read_metadata(new).metadata.keys() == pq.read_metadata(old).metadata.keys()
        groups = [_column_bytes(path) for path in (old, new)]
        flags = [[group.pop("is_anomaly") for group in file] for file in groups]
        assert len(flags[0]) == len(flags[1])
        assert groups[0] == groups[1]
        table = pq.read_table(new)
        expected = table["p_value"].to_numpy() <= threshold
        np.testing.assert_array_equal(table["is_anomaly"].to_numpy(), expected)


@pytest.mark.parametrize("plain", [False, True], ids=["own schema", "portable"])
@pytest.mark.parametrize("compression", ["zstd", "snappy", "none", "gzip"])
def test_fpr_changes_the_flags_and_nothing_else(
    tmp_path: Path, plain: bool, compression: str
) -> None:
    files = [_values(230, 1), _values(40, 2), _values(1, 3), _values(0)]
    run = _write_run(tmp_path / "run", files, plain=plain, compression=compression)
    ledger = relabel(str(run), str(tmp_path / "new"), fpr=0.3)
    _check_same_but_flags(run, tmp_path / "new", 0.3)
    assert ledger["relabelled"]["flagged"] == np.sum(_all_p_values(run) <= 0.3) > 0


@pytest.mark.parametrize("fdr", [0.01, 0.05, 0.2, 0.5])
def test_fdr_is_the_rule_of_benjamini_and_hochberg(run: Path, tmp_path: Path, fdr: float) -> None:
    ledger = relabel(str(run), str(tmp_path / "new"), fdr=fdr)
    adjusted = stats.false_discovery_control(_all_p_values(run), method="bh")
    flags = pq.read_table(tmp_path / "new" / "scores")["is_anomaly"].to_numpy()
    np.testing.assert_array_equal(flags, adjusted <= fdr * (1 + 1e-12))
    changed = ledger["relabelled"]
    assert changed["flagged"] == flags.sum()
    assert changed["threshold"] == pytest.approx(fdr * flags.sum() / len(flags))
    _check_same_but_flags(run, tmp_path / "new", changed["threshold"])


@pytest.mark.parametrize("rule", [{"fpr": 0.07}, {"fdr": 0.1}])
def test_a_p_value_at_the_threshold_is_flagged(tmp_path: Path, rule: dict[str, float]) -> None:
    run = _write_run(tmp_path / "run", [np.repeat([1.0, 0.07], [30, 70])])
    changed = relabel(str(run), str(tmp_path / "new"), **rule)["relabelled"]
    assert (changed["flagged"], changed["threshold"]) == (70, 0.07)
    table = pq.read_table(tmp_path / "new" / "scores")
    assert table["is_anomaly"].to_pylist() == [False] * 30 + [True] * 70


def test_the_ledger_is_the_earlier_one_and_what_changed(run: Path, tmp_path: Path) -> None:
    earlier = read_ledger(str(run))
    ledger = relabel(str(run), str(tmp_path / "new"), fdr=0.2)
    assert ledger == json.loads((tmp_path / "new" / "run.json").read_text())
    changed = ledger.pop("relabelled")
    assert (changed["rule"], changed["rate"]) == ("fdr", 0.2)
    assert changed["from"] == {"scores": str(run), "run_id": earlier["run_id"], "fpr": FPR}
    assert ledger.pop("run_id") != earlier.pop("run_id")
    assert ledger["model"].pop("fpr") == changed["threshold"]
    assert earlier["model"].pop("fpr") == FPR
    digests = [file.pop("sha256") for file in ledger["files"]]
    assert digests == [
        hashlib.sha256((tmp_path / "new" / file["path"]).read_bytes()).hexdigest()
        for file in ledger["files"]
    ]
    for file in earlier["files"]:
        file.pop("sha256")
    assert ledger == earlier
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        *("_SUCCESS", "passed_over", "rejects", "run.json", "scores")
    ]


def test_the_same_fpr_again_gives_the_same_flags(run: Path, tmp_path: Path) -> None:
    relabel(str(run), str(tmp_path / "other"), fdr=0.5)
    relabel(str(tmp_path / "other"), str(tmp_path / "back"), fpr=FPR)
    for file in (run / "scores").iterdir():
        back = tmp_path / "back" / "scores" / file.name
        assert _column_bytes(back) == _column_bytes(file)


@pytest.mark.parametrize("rule", [{"fpr": 0.5}, {"fdr": 0.5}])
def test_not_a_number_is_never_flagged(tmp_path: Path, rule: dict[str, float]) -> None:
    values = np.array([0.001, np.nan, 0.002, np.nan, np.nan])
    run = _write_run(tmp_path / "run", [values])
    ledger = relabel(str(run), str(tmp_path / "new"), **rule)
    flags = pq.read_table(tmp_path / "new" / "scores")["is_anomaly"].to_pylist()
    assert flags == [True, False, True, False, False]
    if "fdr" in rule:  # of five records, those without a p-value included
        assert ledger["relabelled"]["threshold"] == pytest.approx(0.5 * 2 / 5)


def test_a_p_value_that_is_null_is_never_flagged(run: Path, tmp_path: Path) -> None:
    path = run / "scores" / "part-00002-of-00003.parquet"
    table = pq.read_table(path)
    index = table.schema.get_field_index("p_value")
    pq.write_table(table.set_column(index, "p_value", pa.array([None], pa.float64())), path)
    _unseal(run)
    relabel(str(run), str(tmp_path / "new"), fpr=0.99)
    new = pq.read_table(tmp_path / "new" / "scores" / path.name)
    assert (new["p_value"].to_pylist(), new["is_anomaly"].to_pylist()) == ([None], [False])


@pytest.mark.parametrize("files", [[], [np.zeros(0)]], ids=["no file", "an empty file"])
@pytest.mark.parametrize("rule", [{"fpr": 0.5}, {"fdr": 0.5}])
def test_a_run_without_scores_has_no_flags(
    tmp_path: Path, files: list[np.ndarray], rule: dict[str, float]
) -> None:
    run = _write_run(tmp_path / "run", files)
    ledger = relabel(str(run), str(tmp_path / "new"), **rule)
    assert ledger["relabelled"]["flagged"] == 0
    assert len(ledger["files"]) == 1 + len(files)


def _located_files(run: Path) -> dict[str, bytes]:
    """The bytes of all files of a run except its scores, by path."""
    kinds = ("regions", "maps", "tiles", "map_pictures", "rejects", "passed_over")
    paths = [path for kind in kinds for path in (run / kind).rglob("*") if path.is_file()]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("kind", ["whole", "tiles"])
def test_regions_maps_tiles_and_pictures_are_kept_however_often(
    kind: str, anomalous: Callable[[str], Anomalous], tmp_path: Path
) -> None:
    """Also the rate at which regions were found, which is no longer that of the flags."""
    images, model, usual = anomalous(kind)
    rate = read_ledger(str(usual))["model"]["fpr"]
    run, inputs = tmp_path / "run", [str(images)]
    asked = {"tiles": True, "map_format": "png"} if kind == "tiles" else {}
    score(inputs, str(model), str(run), maps="all", **asked)
    before = _located_files(run)
    kinds = {"maps", "regions", "rejects", *(("map_pictures", "tiles") if asked else ())}
    assert {name.partition("/")[0] for name in before} == kinds
    earlier = read_ledger(str(run))
    source = run
    for number, rule in enumerate([{"fpr": 0.6}, {"fdr": 0.001}, {"fpr": 0.7}]):
        new = tmp_path / str(number)
        ledger = relabel(str(source), str(new), **rule)
        assert ledger["relabelled"]["regions_fpr"] == rate
        assert ledger["model"]["fpr"] == ledger["relabelled"]["threshold"] != rate
        assert _located_files(new) == before
        for name in ("regions", "maps", "tiles"):
            assert ledger.get(name) == earlier.get(name)
        assert verify(str(new), inputs)["ok"]
        flags = pq.read_table(new / "scores")["is_anomaly"].to_numpy()
        np.testing.assert_array_equal(flags, _all_p_values(run) <= ledger["model"]["fpr"])
        source = new
    in_place = relabel(str(source), str(source), fpr=0.2, overwrite=True)
    assert (in_place["relabelled"]["regions_fpr"], in_place["model"]["fpr"]) == (rate, 0.2)
    assert _located_files(source) == before
    assert verify(str(source), inputs)["ok"]


def test_another_score_keeps_the_regions_and_their_rate(
    anomalous: Callable[[str], Anomalous], tmp_path: Path
) -> None:
    images, _, run = anomalous("whole")
    ledger = relabel(str(run), str(tmp_path / "new"), fpr=0.2, score="typicality")
    assert ledger["model"]["primary_score"] == "typicality"
    assert (ledger["relabelled"]["regions_fpr"], ledger["model"]["fpr"]) == (FPR, 0.2)
    assert _located_files(tmp_path / "new") == _located_files(run)
    assert verify(str(tmp_path / "new"), [str(images)])["ok"]


def test_of_a_run_without_regions_there_is_no_rate_of_them(run: Path, tmp_path: Path) -> None:
    ledger = relabel(str(run), str(tmp_path / "new"), fpr=0.3)
    assert "regions_fpr" not in ledger["relabelled"]


def test_a_run_that_python_code_wrote_needs_no_facts(run: Path, tmp_path: Path) -> None:
    ledger = json.loads((run / "run.json").read_text())
    del ledger["model"]
    (run / "run.json").write_text(json.dumps(ledger))
    changed = relabel(str(run), str(tmp_path / "new"), fpr=0.3)
    assert "model" not in changed
    assert changed["relabelled"]["from"]["fpr"] is None


def test_files_with_the_same_first_id_keep_their_names(tmp_path: Path) -> None:
    run = _write_run(tmp_path / "run", [_values(n + 1, n) for n in range(12)])
    paths = sorted((run / "scores").iterdir())
    same = pq.read_table(paths[0])
    for number, path in enumerate(paths):
        pq.write_table(pa.concat_tables([same] * (number + 1)), path)
    ledger = json.loads((run / "run.json").read_text())
    for number, file in enumerate(ledger["files"][:12]):
        file["rows"] = number + 1
    (run / "run.json").write_text(json.dumps(ledger))
    _unseal(run)
    found = relabel(str(run), str(tmp_path / "new"), fpr=0.3)["files"]
    for number, file in enumerate(found[:12]):
        assert file["path"] == f"scores/part-{number:05d}-of-00012.parquet"
        assert file["rows"] == number + 1


def test_memory_is_that_of_a_row_group(tmp_path: Path) -> None:
    rows = 100_000
    run = _write_run(tmp_path / "run", [_values(rows)], group_rows=2000)
    table = pq.read_table(run / "scores")
    whole, column = table.nbytes, table["p_value"].nbytes
    del table
    before, passes = pa.total_allocated_bytes(), []
    for part in module.p_values(str(run), rows=2000):
        assert len(part) <= 2000
        passes.append(pa.total_allocated_bytes() - before)
    assert len(passes) >= rows / 2000
    assert max(passes) < column / 10
    done: list[int] = []
    written: list[int] = []

    def show(count: int) -> None:
        done.append(count)
        written.append(pa.total_allocated_bytes() - before)

    module.relabel_files(str(run), str(tmp_path / "staging"), 0.5, show)
    assert done == list(range(2000, rows + 1, 2000))
    assert max(written) < whole / 10


def _remove(path: Path) -> None:
    path.unlink()


def _unseal(run: Path) -> None:
    """Converts the ledger to that of versions without digests."""
    ledger = json.loads((run / "run.json").read_text())
    for file in ledger["files"]:
        file.pop("sha256")
    (run / "run.json").write_text(json.dumps(ledger))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _spoil_page(path: Path) -> None:
    """Damages the p-values, so that the footer can still be read."""
    column = next(
        c
        for c in map(pq.read_metadata(path).row_group(0).column, range(20))
        if c.path_in_schema == "p_value"
    )
    start = column.dictionary_page_offset or column.data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(content)


def _shorten(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(1), path)


def _add(path: Path) -> None:
    shutil.copy(path, path.parent / "more.parquet")


def _without(name: str) -> Callable[[Path], None]:
    def drop(path: Path) -> None:
        pq.write_table(pq.read_table(path).drop_columns([name]), path)

    return drop


@pytest.mark.parametrize("rule", [{"fpr": 0.3}, {"fdr": 0.3}])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove, "cannot read .*part-00001-of-00003.parquet"),
        (_cut, "cannot read .*part-00001-of-00003.parquet"),
        (_spoil_page, "cannot read .*part-00001-of-00003.parquet"),
        (_shorten, "part-00001-of-00003.parquet contains 39 rows, but the ledger says 40"),
        (_add, "more.parquet is not in the ledger"),
        (_without("p_value"), "no column 'p_value' of type double"),
        (_without("is_anomaly"), "no column 'is_anomaly' of type bool"),
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_damaged_run_is_refused_and_leaves_nothing(
    run: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
    rule: dict[str, float],
    sealed: bool,
) -> None:
    if sealed:
        message = f"{message}|part-00001-of-00003.parquet was changed since the run was written"
    else:
        _unseal(run)
    damage(run / "scores" / "part-00001-of-00003.parquet")
    with pytest.raises(InputError, match=message):
        relabel(str(run), str(tmp_path / "new"), **rule)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", [_remove, _cut, _add])
def test_damaged_rejects_are_refused(
    run: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(run / "rejects" / "part-00000-of-00001.parquet")
    with pytest.raises(InputError, match="rejects"):
        relabel(str(run), str(tmp_path / "new"), fpr=0.3)
    assert not (tmp_path / "new").exists()


def test_a_run_that_is_replaced_meanwhile_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = module.relabel_files

    def replace(*args: Any) -> Any:
        result = original(*args)
        shutil.rmtree(run)
        _write_run(run, [_values(7)])
        return result

    monkeypatch.setattr("pipelines.commands.relabel.relabel_files", replace)
    with pytest.raises(InputError, match="rewritten while it was being read"):
        relabel(str(run), str(tmp_path / "new"), fpr=0.3)
    assert not (tmp_path / "new").exists()


def test_a_disk_that_fails_is_not_blamed_on_the_source(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = module.create

    def fail(path: str, *args: Any, **options: Any) -> Any:
        if "scores-00001" in path:
            raise OSError("no space left")
        return create(path, *args, **options)

    monkeypatch.setattr(module, "create", fail)
    with pytest.raises(OutputError, match=r"cannot write .*scores-00001.*no space left"):
        relabel(str(run), str(tmp_path / "new"), fpr=0.3)
    assert not (tmp_path / "new").exists()


def test_results_are_kept_until_overwritten(run: Path, tmp_path: Path) -> None:
    new = _write_run(tmp_path / "new", [_values(7)])
    before = read_ledger(str(new))
    with pytest.raises(OutputError, match="already contains results"):
        relabel(str(run), str(new), fpr=0.3)
    with held(str(new)), pytest.raises(OutputError, match="another run is writing"):
        relabel(str(run), str(new), fpr=0.3, overwrite=True)
    assert read_ledger(str(new)) == before
    relabel(str(run), str(new), fpr=0.3, overwrite=True)
    _check_same_but_flags(run, new, 0.3)


def test_a_run_can_be_relabelled_in_its_place(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    with pytest.raises(OutputError, match="already contains results"):
        relabel(str(copy), str(copy), fpr=0.3)
    relabel(f"{copy}/", str(copy), fpr=0.3, overwrite=True)
    _check_same_but_flags(run, copy, 0.3)


@pytest.mark.parametrize("place", ["new", "scores", "scores/new", "x/../rejects"])
def test_an_output_within_the_run_is_refused(run: Path, place: str) -> None:
    with pytest.raises(OutputError, match="is inside"):
        relabel(str(run), str(run / place), fpr=0.3)
    assert relabel(str(run), f"{run}-new", fpr=0.3)


@pytest.mark.parametrize(
    ("fpr", "fdr", "message"),
    [
        (None, None, "exactly one of --fpr and --fdr. Received: neither"),
        (0.1, 0.2, "exactly one of --fpr and --fdr. Received: --fpr 0.1 and --fdr 0.2"),
        (0.0, None, "--fpr must be between 0 and 1. Received: 0.0"),
        (1.0, None, "--fpr must be between 0 and 1. Received: 1.0"),
        (None, -0.1, "--fdr must be between 0 and 1. Received: -0.1"),
        (None, float("nan"), "--fdr must be between 0 and 1. Received: nan"),
    ],
)
def test_rates_that_cannot_be_used(
    tmp_path: Path, fpr: float | None, fdr: float | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        relabel(str(tmp_path), str(tmp_path / "new"), fpr, fdr)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give exactly one of --fpr and --fdr. Received: neither"),
        (["--fpr", "0.1", "--fdr", "0.1"], "Received: --fpr 0.1 and --fdr 0.1"),
        (["--fdr", "2"], "--fdr must be between 0 and 1. Received: 2.0"),
        (["--fdr", "much"], "'much' is not a valid float"),
        (["--fdr=0.1", "--runner=x"], "No such option"),
        (["--fdr", "0.1", "--output", "{run}"], "already contains results .*give --overwrite"),
        (["--fdr", "0.1", "--scores", "{run}/none"], "none contains no finished run"),
        (["--fdr", "0.1", "--scores", "{run}/scores"], "there is no _SUCCESS in it"),
    ],
)
def test_errors_are_one_line_and_status_2(
    run: Path,
    tmp_path: Path,
    flags: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["relabel", "--scores", str(run), "--output", str(tmp_path / "new")]
    status, out, err = run_command([*arguments, *(f.format(run=run) for f in flags)], capsys)
    assert (status, out) == (2, "")
    assert re.fullmatch(f"latentbeam: .*{message}.*\n", err)
    assert not (tmp_path / "new").exists()


def test_the_command_relabels_and_duckdb_reads_the_result(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new"
    arguments = ["relabel", "--scores", str(run), "--output", str(new), "--fdr", "0.2"]
    status, out, err = run_command(arguments, capsys)
    assert status == 0
    flagged = json.loads((new / "run.json").read_text())["relabelled"]["flagged"]
    assert out.splitlines()[0] == f"run: {new}"
    assert out.splitlines()[1].startswith("rule: --fdr 0.2, p_value <= 0.")
    assert out.splitlines()[2] == f"flagged: {flagged} of 271 records"
    assert "relabelling: 271/271 records" in err
    query = "SELECT count(*) FILTER (is_anomaly), count(*) FROM '{}/scores/*.parquet'"
    assert duckdb.sql(query.format(new)).fetchall() == [(flagged, 271)]
    rest = "SELECT * EXCLUDE is_anomaly FROM '{}/scores/*.parquet'"
    both = f"{rest.format(run)} EXCEPT ALL {rest.format(new)}"
    assert duckdb.sql(both).fetchall() == []
    status, out, _ = run_command([*arguments, "--overwrite", "--json"], capsys)
    assert status == 0
    assert json.loads(out)["relabelled"]["flagged"] == flagged


def test_help_has_an_example_and_nothing_heavy() -> None:
    command = [sys.executable, "-m", "pipelines.cli", "relabel", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "latentbeam relabel --scores run/ --output relabelled/ --fdr 0.1" in shown.stdout
    assert shown.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("plain", [False, True], ids=["own schema", "portable"])
def test_verify_and_evaluate_take_what_relabel_wrote(
    bundle: Callable[[str], Path], tmp_path: Path, plain: bool
) -> None:
    run, new = str(tmp_path / "run"), str(tmp_path / "new")
    score(["builtin:digits"], str(bundle("ae")), run, where=["label=0,1"], portable_schema=plain)
    changed = relabel(run, new, fpr=0.3)
    _check_same_but_flags(Path(run), Path(new), 0.3)
    assert changed["model"]["pareto_tail"] is None
    assert verify(new, ["builtin:digits"])["ok"]
    before, after = (evaluate(folder, "label=0") for folder in (run, new))
    assert before.pop("flagged") != after.pop("flagged")
    assert before["advice"] is after["advice"] is None
    for row in (*before["scores"], *after["scores"]):
        row.pop("flagged")
    assert before == after
    with pytest.raises(LatentbeamError):
        relabel(run, new, fdr=0.1)
