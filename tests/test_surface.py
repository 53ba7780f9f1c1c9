"""What the packages promise to other projects: names, types, and arguments that are checked."""

import logging
import os
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest

import ae_models
import pipelines
import transforms
from ae_models.config.configuration import ImageConfig
from ae_models.errors import ConfigError
from ae_models.latents.clustering.model import ClusteringConfig
from pipelines.commands.classify import ClassConfig
from pipelines.commands.cluster import cluster
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.explore.records import Choice
from pipelines.explore.sample import sample
from pipelines.explore.traverse import traverse
from pipelines.report.command import report
from tests.support.command import run_command
from tests.support.pages import blocks
from tests.support.project import PROJECT
from transforms import (
    AutoencoderModelHandler,
    BatchLimits,
    DecodeImages,
    ReadImages,
    ScoreImages,
    ScoreImagesByCategory,
    ShardLimits,
)
from transforms.scoring.beam_anomaly import bundle_detector

IMAGE = ImageConfig(8, 8, 1, 8)


@pytest.mark.parametrize("package", [ae_models, transforms, pipelines])
def test_what_is_public_is_named_and_typed(package: types.ModuleType) -> None:
    names = package.__all__
    assert list(names) == sorted(names)
    assert all(hasattr(package, name) for name in names)
    assert (Path(str(package.__file__)).parent / "py.typed").exists()


@pytest.mark.slow
def test_readme_example_passes_strict_type_checks(tmp_path: Path) -> None:
    texts = (block.text for block in blocks(PROJECT / "README.md"))
    example = next(text for text in texts if "import ReadImages" in text)
    checked = """
        from apache_beam.pvalue import PCollection
        from ae_models import Bundle, open_bundle
        from transforms import BatchLimits, ImageRecords, ScoredRecords

        def read(limits: BatchLimits) -> ImageRecords:
            return ReadImages("images/*.png", limits=limits).expand(beam.Pipeline())

        def scores(records: ImageRecords) -> ScoredRecords:
            return ScoreImages("bundle/", fpr=0.1).expand(records)

        def bundle() -> Bundle:
            return open_bundle("bundle/")
    """
    (tmp_path / "project.py").write_text(example + textwrap.dedent(checked))
    (tmp_path / "wrong.py").write_text(
        "from transforms import ReadImages, ScoreImages\n"
        "ScoreImages('bundle/', 0.1)\n"
        "ReadImages('images/', limits=3)\n"
        "ScoreImages('bundle/').expand('images/')\n"
    )
    # As a user has it: among the installed packages, whose own errors are not shown.
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-error-codes"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}

    def errors(file: str) -> list[str]:
        run = subprocess.run(
            [*command, file],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return [line for line in run.stdout.splitlines() if ": error:" in line] + [run.stderr]

    assert errors("project.py") == [""]
    found = errors("wrong.py")
    assert [error.partition(":")[2].partition(":")[0] for error in found[:-1]] == ["2", "3", "4"]


def test_results_of_transforms_have_their_types_and_beam_warns_of_none(
    caplog: pytest.LogCaptureFixture, image_folder: Path
) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    with caplog.at_level(logging.WARNING):
        read = pipeline | ReadImages(str(image_folder))
    assert type(read) is transforms.ImageRecords
    assert "type hint" not in caplog.text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ScoreImages("b", fpr=7), "fpr must be above 0 and below 1. Received: 7"),
        (lambda: ScoreImages("b", decoding_threads=0), "decoding_threads must be"),
        (lambda: ScoreImages("b", error_maps="no"), "error_maps must be of type bool"),
        (lambda: ScoreImagesByCategory({"a": "b"}, "label", fpr=0), "fpr must be above 0"),
        (lambda: ScoreImagesByCategory({"a": "b"}, "label", max_models_per_worker=0), "max_models"),
        (lambda: AutoencoderModelHandler("b", fpr=-1), "fpr must be above 0"),
        (lambda: AutoencoderModelHandler("b", max_rows=0), "max_rows must be"),
        (lambda: bundle_detector("b", fpr=1), "fpr must be above 0"),
        (lambda: DecodeImages(IMAGE, 0), "rows must be a whole number of at least 1. Received: 0"),
        (lambda: DecodeImages(IMAGE, 1, threads=0), "threads must be"),
        (lambda: BatchLimits(rows=0), "rows must be"),
        (lambda: BatchLimits(image_bytes=1.5), "image_bytes must be"),
        (lambda: ShardLimits(file_rows=0), "file_rows must be"),
        (lambda: ShardLimits(compression="zip"), "compression must be one of"),
        (lambda: score(["x"], "b", "o", fpr=7), "fpr must be above 0"),
        (lambda: score(["x"], "b", "o", checkpoint_every=0), "checkpoint_every must be"),
        (lambda: relabel("r", "o", fpr=7), "fpr must be"),
        (lambda: cluster("r", "o", sample=0), "sample must be"),
        (lambda: cluster("r", "o", method="?"), "method must be"),
        (lambda: ClusteringConfig(clusters=0), "clusters must be"),
        (lambda: ClusteringConfig(min_cluster_size=1), "min_cluster_size must be"),
        (lambda: ClusteringConfig(seed=-1), "seed must be"),
        (lambda: ClassConfig(fpr=7.0), "fpr must be"),
        (lambda: report("r", "b", "o.html", anomalies=501), "anomalies must be"),
        (lambda: report("r", "b", "o.html", projection="tsne"), "pca, umap"),
        (lambda: Choice(["x"], count=17), "1 to 16 records. Received: 17"),
        (lambda: sample("b", "o.png", count=0), "count must be"),
        (lambda: traverse("b", "o.png", steps=1), "steps must be a whole number from 2 to 15"),
        (lambda: traverse("b", "o.png", dimensions=65), "dimensions must be"),
    ],
)
def test_the_python_api_refuses_what_cannot_be(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        call()


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "--input", "x", "--model", "b", "--output", "o", "--fpr", "7"],
        ["relabel", "--scores", "r", "--output", "o", "--fpr", "7"],
        ["cluster", "--scores", "r", "--output", "o", "--clusters", "0"],
        ["report", "--scores", "r", "--model", "b", "--output", "o.html", "--anomalies", "0"],
        ["explore", "sample", "--model", "b", "--output", "o.png", "--count", "17"],
    ],
)
def test_the_command_line_refuses_the_same_by_the_same_check(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, err = run_command(arguments, capsys)
    assert (status, out) == (2, "")
    assert err.startswith("latentbeam: ")
    assert f"Received: {arguments[-1]}" in err
    assert err.count("\n") == 1
