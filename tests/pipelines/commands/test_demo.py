"""The demo, as `make demo` runs it: what it finds, what it writes, and what README says of it."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from ae_models.errors import OutputError
from pipelines.cli.summaries import demo_lines
from pipelines.cli.tables import rendered
from pipelines.commands.demo import demo
from tests.support.project import PROJECT

pytestmark = pytest.mark.slow

_DEFECTS = {"scratch", "dent", "stain", "missing_hole", "wrong_part"}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    result = demo(str(tmp_path_factory.mktemp("demo") / "output"))
    json.dumps(result)  # of --json
    return result


def test_every_kind_of_defect_is_found(result: dict[str, Any]) -> None:
    evaluation = result["evaluation"]
    assert evaluation["scores"][0]["auroc"]["value"] >= 0.97
    assert evaluation["pixels"]["pixel_auroc"] >= 0.97
    kinds = {
        kind["value"]: kind["scores"][0]["auroc"]["value"] for kind in evaluation["by"]["kinds"]
    }
    assert set(kinds) == _DEFECTS
    assert min(kinds.values()) >= 0.9
    scores = pq.read_table(Path(result["scores"]) / "scores").to_pandas()
    assert Counter(scores.label) == {"good": 180, **dict.fromkeys(_DEFECTS, 12)}
    by_scikit_learn = roc_auc_score(scores.label != "good", scores.score)
    assert evaluation["scores"][0]["auroc"]["value"] == pytest.approx(by_scikit_learn, abs=1e-12)


def test_all_records_are_accounted_for(result: dict[str, Any]) -> None:
    assert result["verified"]
    records = result["records"]
    assert (records["read"], records["scored"], records["rejected"]) == (240, 240, 0)


def test_the_report_shows_defects_and_where_they_are(result: dict[str, Any]) -> None:
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "scratch/" in page
    assert "240" in page


def test_readme_has_the_demo_s_figures_and_picture(result: dict[str, Any]) -> None:
    """Figures within 0.3, as processors round differently."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    (image,) = re.findall(r"image AUROC ([0-9.]+)%", readme)
    (pixel,) = re.findall(r"pixel AUROC ([0-9.]+)%", readme)
    evaluation = result["evaluation"]
    assert float(image) == pytest.approx(100 * evaluation["scores"][0]["auroc"]["value"], abs=0.3)
    assert float(pixel) == pytest.approx(100 * evaluation["pixels"]["pixel_auroc"], abs=0.3)
    (path,) = re.findall(r"!\[[^]]*\]\((docs/images/[^)]+)\)", readme)
    assert (PROJECT / path).stat().st_size < 300_000
    with Image.open(PROJECT / path) as shown, Image.open(result["picture"]) as drawn:
        assert shown.size == drawn.size
        difference = np.asarray(shown, int) - np.asarray(drawn, int)
    assert np.abs(difference).mean() < 2.0  # grey levels


def test_what_to_run_next_is_what_readme_says(result: dict[str, Any]) -> None:
    lines = rendered(demo_lines(result), aligned=False)
    commands = [line.strip() for line in lines if line.startswith("  latentbeam ")]
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(commands) == 3
    for command in commands:
        assert f"\n{command}\n" in readme


def test_it_writes_to_local_folders_alone() -> None:
    with pytest.raises(OutputError, match="local folder"):
        demo("gs://bucket/demo")
