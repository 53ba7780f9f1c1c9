"""Scoring each record with the bundle of its category, and how many bundles stay in memory."""

import io
import itertools
import json
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.ml.inference.base import KeyedModelHandler, KeyModelMapping, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that
from PIL import Image
from sklearn.datasets import load_digits

from ae_models.bundles.bundle import open_bundle, seal_bundle
from ae_models.bundles.names import MANIFEST
from ae_models.errors import BundleError, ConfigError
from pipelines.commands.train import train, train_configuration
from pipelines.commands.verify import verify
from transforms import (
    AutoencoderModelHandler,
    ReadImages,
    ScoreImages,
    ScoreImagesByCategory,
    WriteScores,
)
from transforms.images.decode import DecodeImages
from transforms.scoring.model_cache import BoundedModels
from transforms.scoring.model_handler import LoadedModel

Bundles = Callable[[str], Path]
PRODUCTS = [f"product {number:02d}" for number in range(6)]


@pytest.fixture(scope="module")
def products(bundle: Bundles, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Bundles for six products, with distinct fingerprints, and of several kinds and shapes."""
    folder = tmp_path_factory.mktemp("products")
    large = folder / "large"
    overrides = ["model.network=dense", "model.latent_dim=4", "image.height=12", "image.width=10"]
    config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
    train(["builtin:digits"], config, str(large), where=["label=1"])
    originals = itertools.cycle([bundle("ae"), bundle("vae"), large])
    return {
        product: str(_resealed(next(originals), folder / product, number))
        for number, product in enumerate(PRODUCTS)
    }


def _resealed(original: Path, path: Path, number: int) -> Path:
    """A copy with another fingerprint and another `fpr`."""
    shutil.copytree(original, path)
    facts = json.loads((path / MANIFEST).read_text())
    facts["config"]["scoring"]["fpr"] = 0.05 + number / 100
    seal_bundle(path, {k: v for k, v in facts.items() if k not in ("files", "fingerprint")})
    return path


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((pixels * 15).astype(np.uint8)).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """300 records that cycle through six products, and some that no bundle can score."""
    images = [_png(pixels) for pixels in load_digits().images[:300]]
    categories = list(itertools.islice(itertools.cycle(PRODUCTS), 300))
    images += [images[0], images[1], b"no image", b""]
    categories += ["a product of others", None, PRODUCTS[0], "a product of others"]
    table = pa.table(
        {
            "id": [f"{number:03d}" for number in range(304)],
            "image": pa.array(images, pa.binary()),
            "product": pa.array(categories),
            "serial": pa.array(range(304)),
        }
    )
    path = tmp_path_factory.mktemp("mixed") / "mixed.parquet"
    pq.write_table(table, path, row_group_size=100)
    return str(path)


def _run(source: str, scoring: beam.PTransform, folder: Path, *where: str) -> Any:
    pipeline = beam.Pipeline("FnApiRunner")
    pipeline | ReadImages(source, where=where) | scoring | WriteScores(str(folder))
    result = pipeline.run()
    result.wait_until_finish()
    return result


def _rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(folder / "scores").to_pylist()}


def test_rows_are_those_of_each_bundle_alone(
    products: dict[str, str], mixed: str, tmp_path: Path
) -> None:
    _run(mixed, ScoreImagesByCategory(products, "product"), tmp_path / "all")
    together = _rows(tmp_path / "all")
    assert len(together) == 300
    for product in (*PRODUCTS[:3], PRODUCTS[5]):
        path = products[product]
        folder = tmp_path / product
        _run(mixed, ScoreImages(path), folder, f"product={product}")
        alone = _rows(folder)
        assert len(alone) == 50
        for key, row in alone.items():
            found = together.pop(key)
            assert {name: found[name] for name in row} == row
            assert {value for name, value in found.items() if name not in row} <= {None}
            assert row["model"] == open_bundle(path).fingerprint
    assert not set(PRODUCTS[:3]) & {row["product"] for row in together.values()}


def test_different_lengths_are_plain_lists_and_one_schema(
    products: dict[str, str], mixed: str, tmp_path: Path
) -> None:
    _run(mixed, ScoreImagesByCategory(products, "product"), tmp_path / "run")
    (file,) = (tmp_path / "run" / "scores").iterdir()
    table = pq.read_table(file)
    assert table.schema.field("latent_mean").type == pa.list_(pa.float32())
    assert table.schema.field("latent_stddev").type == pa.list_(pa.float32())
    lengths = {row["product"]: len(row["latent_mean"]) for row in table.to_pylist()}
    assert lengths == {product: (6, 6, 4)[number % 3] for number, product in enumerate(PRODUCTS)}
    assert table["score_kl"].null_count == 300 - 50 * 2  # only VAEs have it


def test_no_record_is_lost(products: dict[str, str], mixed: str, tmp_path: Path) -> None:
    few = {product: products[product] for product in PRODUCTS[:4]}
    _run(mixed, ScoreImagesByCategory(few, "product"), tmp_path / "run")
    ledger = json.loads((tmp_path / "run" / "run.json").read_text())
    assert ledger["records"] == {
        "read": 304,
        "scored": 200,
        "rejected": 104,
        "rejected_by_reason": {"no_model": 103, "not_an_image": 1},
        "excluded_by_where": 0,
    }
    assert verify(str(tmp_path / "run"), [mixed])["ok"]
    rejects = {row["id"]: row for row in pq.read_table(tmp_path / "run" / "rejects").to_pylist()}
    assert rejects["300"]["message"] == "no bundle for category 'a product of others'"
    assert rejects["301"]["message"] == "no bundle for category None"
    assert rejects["016"]["stage"] == "score"
    assert rejects["302"]["stage"] == "decode"


class _Counted(LoadedModel):
    """Counts its instances."""

    live: ClassVar[weakref.WeakSet] = weakref.WeakSet()
    most = 0

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.live.add(self)
        _Counted.most = max(_Counted.most, len(self.live))


def test_six_bundles_are_scored_with_three_in_memory(
    products: dict[str, str], mixed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.scoring.by_category.LoadedModel", _Counted)
    scoring = ScoreImagesByCategory(products, "product", max_models_per_worker=3)
    result = _run(mixed, scoring, tmp_path / "run")
    counters = result.metrics().query(MetricsFilter().with_name("models_loaded"))["counters"]
    assert _Counted.most == 3
    assert [counter.result for counter in counters] == [6]  # although the records alternate
    assert len(_rows(tmp_path / "run")) == 300


def test_categories_may_be_numbers(bundle: Bundles, tmp_path: Path) -> None:
    bundles = {str(label): str(bundle("ae")) for label in range(10)}
    _run("builtin:digits", ScoreImagesByCategory(bundles, "label"), tmp_path / "run")
    _run("builtin:digits", ScoreImages(str(bundle("ae"))), tmp_path / "alone")
    together, alone = (
        pq.read_table(tmp_path / name / "scores").sort_by("id") for name in ("run", "alone")
    )
    assert together.equals(alone)


@pytest.mark.slow
def test_two_worker_processes_change_no_bit(
    products: dict[str, str], mixed: str, tmp_path: Path
) -> None:
    _run(mixed, ScoreImagesByCategory(products, "product"), tmp_path / "one")
    scoring = ScoreImagesByCategory(products, "product", max_models_per_worker=3)
    flags = ["--runner=FnApiRunner", "--direct_running_mode=multi_processing"]
    options = PipelineOptions([*flags, "--direct_num_workers=2"])
    with beam.Pipeline(options=options) as pipeline:
        pipeline | ReadImages(mixed) | scoring | WriteScores(str(tmp_path / "two"))
    assert _rows(tmp_path / "one") == _rows(tmp_path / "two")


def test_what_cannot_be_used_is_refused(bundle: Bundles, mixed: str, tmp_path: Path) -> None:
    good = {"a": str(bundle("ae"))}
    with pytest.raises(ConfigError, match="bundles must map at least one category to a bundle"):
        ScoreImagesByCategory({}, "product")
    with pytest.raises(ConfigError, match=r"at least 1\. Received: 0"):
        ScoreImagesByCategory(good, "product", max_models_per_worker=0)
    with pytest.raises(BundleError, match="no such model bundle"):
        _run(mixed, ScoreImagesByCategory({"a": "nowhere"}, "product"), tmp_path / "run")
    scoring = ScoreImagesByCategory(good, "product", outputs=["score_kl"])
    with pytest.raises(ConfigError, match="no output 'score_kl'"):
        _run(mixed, scoring, tmp_path / "run")
    with pytest.raises(Exception, match="the records have no column 'colour'"):
        _run(mixed, ScoreImagesByCategory(good, "colour"), tmp_path / "run")


def test_models_in_use_stay_and_no_more_than_allowed_are_held() -> None:
    live = weakref.WeakSet[Any]()
    most = []

    class Model:
        def __init__(self, key: str):
            self.key, self.itself = key, self  # a cycle, as in a SavedModel
            live.add(self)
            most.append(len(live))

    models = BoundedModels(Model, 2)
    loads: list[str] = []

    def work(seed: int) -> None:
        for key in np.random.default_rng(seed).choice(list("abcdef"), 12):
            with models.use(key, lambda key=key: loads.append(key)) as model:
                time.sleep(0.0005)
                assert model.key == key
                assert model in live
                del model

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 2
    assert len(loads) == len(most) > 6


def test_a_model_that_is_there_is_not_loaded_again() -> None:
    loads: list[str] = []
    models = BoundedModels(lambda key: loads.append(key) or key, 2)  # type: ignore[func-returns-value]
    for key in "abacabd":
        with models.use(key):
            pass
    assert loads == ["a", "b", "c", "b", "d"]  # the one idle for longest is released


def test_beams_own_keyed_model_handler_takes_ours(bundle: Bundles) -> None:
    handlers = [
        KeyModelMapping([label], AutoencoderModelHandler(str(bundle(kind))))
        for label, kind in (("a", "ae"), ("b", "vae"))
    ]
    image = open_bundle(bundle("ae")).config.image

    def check(found: list[tuple[str, pa.RecordBatch]]) -> None:
        models = {key: set(batch.column("model").to_pylist()) for key, batch in found}
        assert models == {
            "a": {open_bundle(bundle("ae")).fingerprint},
            "b": {open_bundle(bundle("vae")).fingerprint},
        }

    with beam.Pipeline("FnApiRunner") as pipeline:
        read = pipeline | ReadImages("builtin:digits", where=["label=0"])
        keyed = (
            read.records
            | DecodeImages(image, 100)
            | beam.FlatMap(lambda batch: [("a", batch), ("b", batch)])
        )
        found = keyed | RunInference(KeyedModelHandler(handlers, max_models_per_worker_hint=1))
        assert_that(found, check)
