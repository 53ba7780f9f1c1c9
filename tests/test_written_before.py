"""Bundles and runs of version 0.1, from before its modules had rooms: they open, score and verify.

The archive holds, for each kind of model, a bundle trained on the digits 0 and 1, and the run in
which it scored 2 and 3.
"""

import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.keras_model import BundleModel
from pipelines.commands.evaluate import evaluate
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.commands.verify import verify

_ARCHIVE = Path(__file__).parent / "support" / "written_before_rooms.tar.xz"
DIGITS = ["builtin:digits"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(_ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("kind", ["ae", "dae", "vae"])
def test_an_old_bundle_scores_as_it_did(written: Path, kind: str, tmp_path: Path) -> None:
    bundle, run = written / kind / "bundle", written / kind / "run"
    score(DIGITS, str(bundle), str(tmp_path / "run"), where=["label=2,3"])
    before, after = (pq.read_table(folder / "scores") for folder in (run, tmp_path / "run"))
    assert after.schema == before.schema
    for name in before.column_names:
        if before.schema.field(name).type in (pa.float32(), pa.float64()) or "latent" in name:
            # The same bits on the machine that wrote them; other processors may round differently.
            old, new = (np.stack(table[name].to_numpy()) for table in (before, after))
            np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)
        else:
            assert after[name].equals(before[name])


@pytest.mark.parametrize("kind", ["ae", "dae", "vae"])
def test_an_old_bundle_gives_its_keras_model(written: Path, kind: str) -> None:
    model = BundleModel(open_bundle(written / kind / "bundle"))
    assert model.has_prior == (kind == "vae")
    assert model.scaled(np.zeros((1, 8, 8, 1), np.uint8)).shape == (1, 8, 8, 1)


def test_an_old_run_is_read(written: Path, tmp_path: Path) -> None:
    run = str(written / "vae" / "run")
    verified = verify(run, DIGITS)
    assert (verified["ok"], verified["found"]) == (True, 360)
    assert 0 <= evaluate(run, "label=3")["auroc"]["value"] <= 1
    relabelled = relabel(run, str(tmp_path / "run"), fdr=0.5)
    assert relabelled["records"]["scored"] == 360
