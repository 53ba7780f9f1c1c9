"""Pairs of input and target, from two columns of a Parquet file to a model that turns one into the
other."""

import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.scorer import Scorer
from ae_models.config.configuration import ImageConfig, TrainingConfig
from ae_models.config.model import DenoisingConfig
from ae_models.errors import ConfigError
from ae_models.training.batches import TrainingBatches
from ae_models.training.image_store import ImageStore, write_image_stores
from ae_models.training.preprocessing import Preprocessing
from ae_models.training.splits import TRAIN, SplitOrder, id_hashes
from pipelines.cli import main
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from transforms.images.decode_batch import check_target, decode_pairs
from transforms.records.batches import image_records
from transforms.records.pixels import pixels_from_arrow, raw_metadata
from transforms.runs.ledger import SCORES, result_files

COLOUR = ImageConfig(height=6, width=6, channels=3, bits=8, convert=True)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey images (N, 6, 6), and colour images derived from them, (N, 6, 6, 3)."""
    generator = np.random.default_rng(0)
    levels = generator.random((count, 2, 2)).repeat(3, axis=1).repeat(3, axis=2)
    grey = np.rint(levels * 255).astype(np.uint8)
    return grey, np.stack([grey, 255 - grey, grey // 4], axis=-1)


def _reasons(batch: pa.RecordBatch) -> list[str | None]:
    return [value and value["reason"] for value in batch.column("reject").to_pylist()]


@pytest.mark.parametrize("struct", [False, True])
def test_a_pair_of_which_either_cannot_be_decoded_is_a_reject(struct: bool) -> None:
    grey, colour = _pairs(2)
    deep = _png(np.zeros((6, 6), np.uint16))
    pairs: list[tuple[Any, Any, str | None]] = [
        (_png(colour[1]), _png(colour[0]), None),
        (b"text", _png(colour[0]), "not_an_image"),
        (_png(colour[0]), None, "no_image"),
        (None, b"text", "not_an_image"),
        (_png(colour[0]), deep, "wrong_bits"),
        (_png(colour[0]), _png(grey[0]), "wrong_channels"),
        (_png(colour[0]), _png(colour[1])[:-30], "corrupt"),
        (_png(colour[0]), _png(colour[1]), None),
    ]
    images, targets, reasons = zip(*pairs, strict=True)
    column = pa.array(targets, pa.large_binary())
    if struct:
        values = [value and {"bytes": value, "path": "a.png"} for value in targets]
        column = pa.array(values)
    carried = {"label": pa.array(range(8)), "in colour": column}
    batch = image_records([f"r{n}" for n in range(8)], "file", images, carried=carried)
    config = ImageConfig(height=6, width=6, channels=3, bits=8)
    for start in range(7):
        part = decode_pairs(batch.slice(start, 8), "in colour", config)
        assert _reasons(part) == list(reasons[start:])
    decoded = decode_pairs(batch, "in colour", config)
    assert decoded.schema.names == ["id", "source", "target", "image", "reject"]
    whole = decoded.filter(decoded.column("reject").is_null())
    for name, expected in (("image", colour[::-1]), ("target", colour)):
        found = pixels_from_arrow(whole.column(name), (6, 6, 3), np.dtype("uint8"))
        np.testing.assert_array_equal(found, expected)
    assert decoded.column("image").null_count == 6
    messages = [value and value["message"] for value in decoded.column("reject").to_pylist()]
    assert messages[2] == "in colour: the record's image is null"
    assert not messages[1].startswith("in colour")
    converted = decode_pairs(batch.slice(5, 1), "in colour", COLOUR)
    assert _reasons(converted) == [None]
    assert converted.column("target")[0].as_py() == grey[0].repeat(3).tobytes()


def test_raw_targets_are_of_the_layout_of_the_images() -> None:
    _, colour = _pairs(3)
    raw = [image.tobytes() for image in colour]
    targets = pa.array([raw[2], raw[0][1:], raw[1]])
    metadata = raw_metadata((6, 6, 3), "uint8")
    batch = image_records(
        ["a", "b", "c"], "f", raw, carried={"score": targets}, image_metadata=metadata
    )
    batch = batch.rename_columns(["id", "source", "input_score", "image", "reject"])
    decoded = decode_pairs(batch, "score", COLOUR)  # carried under a prefixed name
    assert _reasons(decoded) == [None, "wrong_shape", None]
    assert decoded.column("image").to_pylist() == [raw[0], None, raw[2]]
    assert decoded.column("target").to_pylist() == [raw[2], None, raw[1]]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("colour", "no column 'colour'; available: label, coloured"),
        ("image", "no column 'image'"),
        ("label", "'label' must be binary or struct<bytes, path>. Received: int64"),
    ],
)
def test_a_column_that_holds_no_images_is_refused(target: str, message: str) -> None:
    carried = pa.schema([("label", pa.int64()), ("coloured", pa.binary())])
    check_target(carried, "coloured")
    with pytest.raises(ConfigError, match=message):
        check_target(carried, target)


def _numbered(folder: Path, count: int) -> ImageStore:
    """Images that contain their number, and targets that contain 200 minus it."""
    images = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    ids = [f"r{n}" for n in range(count)]
    order = SplitOrder(id_hashes(ids), {TRAIN: count})
    targets, inputs = (
        write_image_stores({TRAIN: folder / name}, order, [(ids, values)])[TRAIN]
        for name, values in (("t.npy", 200 - images), ("i.npy", images))
    )
    return ImageStore(inputs.path, targets)


def test_training_sees_each_image_with_its_own_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = ImageStore.shuffled_batch_groups

    def in_small_buffers(store: ImageStore, rows: int, size: int, generator: Any) -> Any:
        assert size == 1 << 19  # half for images, half for targets
        return shuffled(store, rows, 21, generator)

    monkeypatch.setattr(ImageStore, "shuffled_batch_groups", in_small_buffers)
    store, config = _numbered(tmp_path, 50), TrainingConfig(shuffle_mebibytes=1)
    batches = TrainingBatches(store, lambda x: tf.cast(x, tf.float32), config, 7)  # type: ignore[arg-type]
    orders = []
    for batches.epoch in range(2):
        epoch = list(batches.dataset.as_numpy_iterator())
        assert len(epoch) == batches.steps == 8
        inputs, targets = (np.concatenate(part).ravel() for part in zip(*epoch, strict=True))
        np.testing.assert_array_equal(targets, 200 - inputs)
        assert sorted(inputs) == list(range(50))
        orders.append(inputs.tolist())
    assert orders[0] != orders[1]


def test_images_and_targets_of_different_shapes_are_no_pairs(tmp_path: Path) -> None:
    store = _numbered(tmp_path, 5)
    np.save(tmp_path / "few.npy", np.zeros((4, 1, 1, 1), np.uint8))
    with pytest.raises(ValueError, match=r"targets must be \(5, 1, 1, 1\) uint8.*\(4, 1, 1, 1\)"):
        ImageStore(store.path, ImageStore(tmp_path / "few.npy"))


def test_a_target_stands_for_a_corruption_unless_both_are_asked_for() -> None:
    assert [step.name for step in DenoisingConfig().corruption_steps] == ["gaussian_noise"]
    assert DenoisingConfig(target="colour").corruption_steps == ()
    both = DenoisingConfig(target="colour", corruption="masking").corruption_steps
    assert [step.name for step in both] == ["masking"]
    with pytest.raises(ConfigError, match=r"model.target must be null, or .*Received: ''"):
        DenoisingConfig(target="")


def _write(path: Path, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), path, row_group_size=100)


def test_grey_images_learn_their_colours_and_are_scored_without_them(tmp_path: Path) -> None:
    grey, colour = _pairs(320)
    images = [_png(pixels) for pixels in grey]
    targets: list[Any] = [{"bytes": _png(pixels), "path": None} for pixels in colour]
    targets[3], targets[7] = None, {"bytes": b"text", "path": None}
    ids = [f"r{n}" for n in range(320)]
    _write(tmp_path / "pairs.parquet", {"id": ids, "image": images, "in colour": targets})
    settings = ["model.network=dense", "model.widths=[32]", "model.latent_dim=4"]
    settings += ["model.target=in colour", "image.channels=3", "image.convert=true"]
    settings += ["training.batch_size=16", "training.learning_rate=0.01", "model.loss=bce"]
    config = train_configuration("dae", overrides=settings, flags={"epochs": 12})
    manifest = train([str(tmp_path / "pairs.parquet")], config, str(tmp_path / "m"))
    assert manifest["training"]["rejected_by_reason"] == {"no_image": 1, "not_an_image": 1}
    assert manifest["config"]["model"]["target"] == "in colour"

    bundle = open_bundle(tmp_path / "m")
    pixels = grey[..., None].repeat(3, axis=-1)
    outputs = Scorer(bundle.path, bundle.config).reconstruct(pixels)
    x = outputs["input"]
    wanted = Preprocessing(bundle.path / "transform_fn")(colour).numpy()
    restored = outputs["reconstruction"]
    assert np.mean((restored - wanted) ** 2) < 0.2 * np.mean((x - wanted) ** 2)
    model = keras.models.load_model(bundle.path / "model.keras")
    np.testing.assert_allclose(model.infer(x)["reconstruction"], restored, atol=1e-5)

    run = str(tmp_path / "run")
    score([str(tmp_path / "pairs.parquet")], str(tmp_path / "m"), run)
    (path,) = result_files(run, SCORES)
    table = pq.read_table(path)
    carried = dict(zip(table["id"].to_pylist(), table["in colour"].to_pylist(), strict=True))
    assert carried == dict(zip(ids, targets, strict=True)), "as any other column"
    order = [int(name[1:]) for name in table["id"].to_pylist()]
    alone = Scorer(bundle.path, bundle.config).score(pixels[order])
    for name in ("score", "score_reconstruction_mse"):
        np.testing.assert_array_equal(table[name], alone[name])
    errors = np.mean((x.astype(np.float64) - restored) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(alone["score_reconstruction_mse"], errors[order], rtol=1e-4)


def test_a_missing_column_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(tmp_path / "grey.parquet", {"image": [_png(image) for image in _pairs(20)[0]]})
    arguments = ["train", "--input", str(tmp_path / "grey.parquet"), "--model", "dae"]
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--output", str(tmp_path / "m"), "--set", "model.target=colour"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert (
        error == "latentbeam: model.target: the inputs have no column 'colour'; available: none\n"
    )
    assert not (tmp_path / "m").exists()
