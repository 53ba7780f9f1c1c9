"""`latentbeam explore`, through the command: the contents of each picture, and refusals."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from sklearn.datasets import load_digits

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.keras_check import load_keras_model
from ae_models.bundles.keras_model import BundleModel
from ae_models.bundles.names import KERAS_MODEL
from ae_models.bundles.scorer import Scorer
from ae_models.corruptions.blur import Blur
from ae_models.latents.classes.model import ClassModel
from ae_models.latents.walks import spherical_path
from pipelines.explore.denoise import psnr
from tests.support.command import run_command
from tests.support.digits import digit_pixels
from transforms.results.reader import sample_rows, vectors

Bundles = Callable[[str], Path]
Capsys = pytest.CaptureFixture[str]
DIGITS = ["--input", "builtin:digits"]
TWO = ["--from", "digits/3", "--to", "digits/4"]


@pytest.fixture(scope="module")
def run(digits_run: Callable[..., Path]) -> str:
    """Digits, scored by the variational model."""
    return str(digits_run("vae"))


@pytest.fixture
def pixels() -> np.ndarray:
    """All digits, (1797, 8, 8, 1) uint8."""
    return digit_pixels()


def _explore(name: str, model: Path, output: Path, flags: Sequence[str], capsys: Capsys) -> dict:
    arguments = ["--model", str(model), "--output", str(output), *flags, "--json"]
    status, out, err = run_command(["explore", name, *arguments], capsys)
    assert status == 0, err
    with Image.open(output) as picture:
        assert picture.format == "PNG"
        assert picture.width <= 2000
        assert len(np.unique(np.asarray(picture))) > 50  # something was drawn
    result = json.loads(out)
    assert result.pop("picture") == str(output)
    return result


def _refused(arguments: Sequence[str], capsys: Capsys) -> str:
    status, out, err = run_command(["explore", *arguments], capsys)
    lines = [line for line in err.splitlines() if not line.startswith("reading latents")]
    assert (status, out, len(lines)) == (2, "", 1)
    return lines[0]


@pytest.mark.parametrize("kind", ["ae", "dae", "vae"])
def test_reconstructions_are_those_of_scoring(
    kind: str, bundle: Bundles, tmp_path: Path, pixels: np.ndarray, capsys: Capsys
) -> None:
    flags = [*DIGITS, "--ids", "digits/5,digits/1000"]
    result = _explore("reconstruct", bundle(kind), tmp_path / "a.png", flags, capsys)
    opened = open_bundle(bundle(kind))
    outputs = Scorer(opened.path, opened.config).reconstruct(pixels[[5, 1000]])
    # Digits reach both ends of the range, so a scaled unit is 255 levels.
    errors = 255 * np.abs(outputs["input"] - outputs["reconstruction"]).mean(axis=(1, 2, 3))
    assert [record["id"] for record in result["records"]] == ["digits/5", "digits/1000"]
    np.testing.assert_allclose([r["error"] for r in result["records"]], errors, rtol=1e-4)


def test_the_seed_chooses_the_records_and_the_condition_bounds_them(
    bundle: Bundles, tmp_path: Path, capsys: Capsys
) -> None:
    chosen = []
    for seed in ("0", "0", "1"):
        flags = [*DIGITS, "--count", "4", "--seed", seed, "--where", "label=7"]
        name = tmp_path / f"{len(chosen)}.png"
        result = _explore("reconstruct", bundle("ae"), name, flags, capsys)
        chosen.append([record["id"] for record in result["records"]])
    assert chosen[0] == chosen[1] != chosen[2]
    labels = load_digits().target
    assert {labels[int(i.partition("/")[2])] for ids in chosen for i in ids} == {7}
    first, again, other = ((tmp_path / f"{n}.png").read_bytes() for n in range(3))
    assert first == again != other


def test_records_that_cannot_be_decoded_are_left_out_and_told(
    bundle: Bundles, image_folder: Path, tmp_path: Path, capsys: Capsys
) -> None:
    for path in image_folder.glob("[0-9]/*.png"):
        if path.stem not in ("3", "4"):
            path.unlink()
    arguments = ["--input", str(image_folder), "--model", str(bundle("ae"))]
    arguments += ["--output", str(tmp_path / "a.png"), "--json"]
    status, out, err = run_command(["explore", "reconstruct", *arguments], capsys)
    said = "4 of 6 chosen records cannot be decoded and are left out: "
    assert (status, err.partition("1 ")[0]) == (0, said)
    assert sorted(err.removeprefix(said).partition(";")[0].split(", ")) == sorted(
        ["1 corrupt", "1 empty", "1 not_an_image", "1 wrong_channels"]
    )
    assert {r["id"] for r in json.loads(out)["records"]} == {"3/3.png", "4/4.png"}


def test_denoising_measures_what_is_restored(
    bundle: Bundles, tmp_path: Path, pixels: np.ndarray, capsys: Capsys
) -> None:
    """With a corruption without randomness, compared with scikit-image's ratios."""
    flags = [*DIGITS, "--ids", "digits/1,digits/2", "--corruption", "blur:2"]
    result = _explore("denoise", bundle("dae"), tmp_path / "a.png", flags, capsys)
    model = load_keras_model(bundle("dae") / KERAS_MODEL)
    clean = pixels[[1, 2]] / np.float32(255)

    corrupted = np.asarray(Blur(2.0, 0)(clean, training=True))
    restored = np.asarray(model(corrupted))
    for index, record in enumerate(result["records"]):
        for name, images in (("corrupted", corrupted), ("restored", restored)):
            expected = peak_signal_noise_ratio(clean[index], images[index], data_range=1)
            assert record[f"psnr_{name}"] == pytest.approx(expected, abs=1e-3)
    assert result["corruption"] == "blur:2"


def test_a_denoising_model_brings_its_corruption(
    bundle: Bundles, tmp_path: Path, capsys: Capsys
) -> None:
    results = [
        _explore("denoise", bundle("dae"), tmp_path / "a.png", [*DIGITS, *flags], capsys)
        for flags in ([], [], ["--seed", "1", "--ids", "digits/1"], ["--ids", "digits/1"])
    ]
    assert results[0]["corruption"] == "gaussian_noise:0.3"
    assert results[0] == results[1]
    assert results[2] != results[3]
    # Noise of 0.3 on images between 0 and 1, as accurately as 64 pixels show it.
    for record in results[0]["records"]:
        assert record["psnr_corrupted"] == pytest.approx(-20 * np.log10(0.3), abs=3)


def test_images_that_are_not_corrupted_have_no_ratio(
    bundle: Bundles, tmp_path: Path, capsys: Capsys
) -> None:
    flags = [*DIGITS, "--count", "1", "--corruption", "clip"]
    (record,) = _explore("denoise", bundle("ae"), tmp_path / "a.png", flags, capsys)["records"]
    assert record["psnr_corrupted"] is None
    assert record["psnr_restored"] > 0
    assert np.isinf(psnr(np.ones((1, 2, 2, 1)), np.ones((1, 2, 2, 1)), 255.0)).all()


def test_samples_are_the_models_own(bundle: Bundles, tmp_path: Path, capsys: Capsys) -> None:
    pictures = []
    for seed in ("5", "5", "6"):
        flags = ["--count", "3", "--seed", seed]
        assert _explore("sample", bundle("vae"), tmp_path / "a.png", flags, capsys) == {
            "samples": 3
        }
        pictures.append((tmp_path / "a.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]
    means, drawn = BundleModel(open_bundle(bundle("vae"))).sampled(3, 5)
    model, seeds = load_keras_model(bundle("vae") / KERAS_MODEL), keras.random.SeedGenerator(5)
    z = model.prior.sample(3, seeds)
    np.testing.assert_allclose(means, 255 * np.asarray(model.decode(z)), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(drawn, 255 * np.asarray(model.draw(z, seeds)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("around", [None, 11])
def test_dimensions_are_ordered_by_their_measured_effect(
    around: int | None, bundle: Bundles, tmp_path: Path, pixels: np.ndarray, capsys: Capsys
) -> None:
    flags = ["--steps", "5", "--dimensions", "4"]
    flags += [] if around is None else [*DIGITS, "--around", f"digits/{around}"]
    result = _explore("traverse", bundle("vae"), tmp_path / "a.png", flags, capsys)
    model = load_keras_model(bundle("vae") / KERAS_MODEL)
    centre = np.zeros((1, 6), np.float32)
    if around is not None:
        centre = np.asarray(model.infer(pixels[[around]] / np.float32(255))["latent_mean"])
    effects = []
    for moved in np.eye(6, dtype=np.float32):
        points = centre + np.array([[-3], [-1.5], [0], [1.5], [3]], np.float32) * moved
        change = np.asarray(model.decode(points)) - np.asarray(model.decode(centre))
        effects.append(255 * np.abs(change).mean())
    order = np.argsort(-np.array(effects))[:4]
    assert [row["dimension"] for row in result["dimensions"]] == order.tolist()
    found = [row["effect"] for row in result["dimensions"]]
    np.testing.assert_allclose(found, np.array(effects)[order], rtol=1e-3)


def test_of_a_model_without_a_prior_records_say_how_far(
    bundle: Bundles, tmp_path: Path, pixels: np.ndarray, capsys: Capsys
) -> None:
    np.savez(tmp_path / "few.npz", x=pixels[:40])
    flags = ["--input", f"{tmp_path}/few.npz", "--dimensions", "1", "--steps", "2"]
    ((row),) = _explore("traverse", bundle("ae"), tmp_path / "a.png", flags, capsys)["dimensions"]
    model = load_keras_model(bundle("ae") / KERAS_MODEL)
    latents = np.asarray(model.encoder(pixels[:40] / np.float32(255)))
    mean, stddev = latents.mean(axis=0), latents.std(axis=0)
    ends = np.array([[-3.0], [3.0]], np.float32)
    effects = [
        255
        * np.abs(
            np.asarray(model.decode(mean + ends * stddev * moved)) - model.decode(mean[None])
        ).mean()
        for moved in np.eye(6, dtype=np.float32)
    ]
    assert row["dimension"] == int(np.argmax(effects))
    assert row["effect"] == pytest.approx(max(effects), rel=1e-3)


def test_the_class_along_the_way_begins_and_ends_as_the_records_are(
    bundle: Bundles, run: str, tmp_path: Path, capsys: Capsys
) -> None:
    flags = [*DIGITS, *TWO, "--scores", run, "--label", "label", "--steps", "3"]
    result = _explore("interpolate", bundle("vae"), tmp_path / "a.png", flags, capsys)
    assert result["path"] == "great circle"
    assert sorted(result["classes"]) == [str(n) for n in range(10)]
    probabilities = np.array(list(result["classes"].values()))
    np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, rtol=1e-9)

    columns = ["latent_mean", "latent_stddev", "label"]
    rows = sample_rows(run, columns, count=20_000, seed=0)
    means, stddevs = vectors(rows["latent_mean"]), vectors(rows["latent_stddev"])
    model = ClassModel.fit(means, stddevs, [str(v) for v in rows["label"].to_pylist()], seed=0)
    ends = [rows["id"].to_pylist().index(record) for record in ("digits/3", "digits/4")]
    way = spherical_path(*means[ends], np.array([0.0, 0.5, 1.0]))
    uncertain = np.linspace(*stddevs[ends], 3)
    expected = model.posterior(way, uncertain)
    # The run's latents come from the SavedModel, the picture's from Keras.
    np.testing.assert_allclose(probabilities.T, expected.probabilities, atol=1e-3)
    p_values = model.p_values(expected.log_evidence)
    np.testing.assert_allclose(result["p_values"], p_values, atol=0.01)
    records = model.posterior(means[ends], stddevs[ends]).probabilities
    np.testing.assert_allclose(probabilities[:, [0, 2]].T, records, atol=1e-3)
    assert all(0.0 < p <= 1.0 for p in result["p_values"])


def test_other_models_go_straight(bundle: Bundles, tmp_path: Path, capsys: Capsys) -> None:
    result = _explore("interpolate", bundle("ae"), tmp_path / "a.png", [*DIGITS, *TWO], capsys)
    assert result == {"path": "straight line"}


@pytest.mark.parametrize("flags", [[], [*DIGITS, "--count", "2"], [*DIGITS, "--ids", "digits/9"]])
def test_the_direction_of_a_label_is_the_difference_of_means(
    flags: list[str], bundle: Bundles, run: str, tmp_path: Path, capsys: Capsys
) -> None:
    flags = [*flags, "--scores", run, "--label", "label=1,7"]
    result = _explore("direction", bundle("vae"), tmp_path / "a.png", flags, capsys)
    rows = pq.read_table(f"{run}/scores")
    latents = vectors(rows["latent_mean"]).astype(np.float64)
    has = np.isin(rows["label"].to_numpy(), [1, 7])
    assert (result["members"], result["others"]) == (has.sum(), (~has).sum())
    expected = latents[has].mean(axis=0) - latents[~has].mean(axis=0)
    np.testing.assert_allclose(result["vector"], expected, rtol=1e-9)


def test_a_direction_knows_no_record_without_a_label(
    bundle: Bundles, run: str, tmp_path: Path, capsys: Capsys
) -> None:
    shutil.copytree(run, tmp_path / "run")
    for path in (tmp_path / "run" / "scores").iterdir():
        table = pq.read_table(path)
        labels = pa.array([v if v in (1, 2) else None for v in table["label"].to_pylist()])
        index = table.schema.get_field_index("label")
        pq.write_table(table.set_column(index, "label", labels), path)
    flags = ["--scores", str(tmp_path / "run"), "--label", "label=1"]
    result = _explore("direction", bundle("vae"), tmp_path / "a.png", flags, capsys)
    counts = np.bincount(load_digits().target)
    assert (result["members"], result["others"]) == (counts[1], counts[2])


@pytest.mark.parametrize(
    ("name", "kind", "flags", "message"),
    [
        ("sample", "ae", [], "only a variational model .* Received: a model of kind ae"),
        ("denoise", "vae", DIGITS, "kind vae was trained without corruption: give --corruption"),
        ("denoise", "dae", [*DIGITS, "--corruption", "nois"], "'nois' is not one of"),
        ("denoise", "dae", [*DIGITS, "--corruption", "masking:2"], "between 0 and 1: 'masking:2'"),
        ("denoise", "dae", [*DIGITS, "--corruption", "greyscale"], "needs image.channels 3 or 4"),
        (
            "reconstruct",
            "ae",
            [*DIGITS, "--ids", "digits/1,digits/x"],
            "cannot find or decode the record 'digits/x'",
        ),
        ("reconstruct", "ae", [*DIGITS, "--ids", "digits/1", "--where", "label=1"], "--where"),
        ("reconstruct", "ae", [*DIGITS, "--ids", ","], "--ids ',' and no id"),
        (
            "direction",
            "vae",
            ["--scores", "RUN", "--label", "label=1", "--ids", "digits/1"],
            "and no --input",
        ),
        (
            "reconstruct",
            "ae",
            [*DIGITS, "--where", "label=11"],
            "none of the .* records .* matches",
        ),
        ("reconstruct", "ae", [*DIGITS, "--where", "lable=1"], "did you mean 'label'"),
        ("reconstruct", "ae", ["--input", "/nowhere"], "no such file or folder: /nowhere"),
        ("reconstruct", "ae", [*DIGITS, "--count", "17"], "17"),
        (
            "reconstruct",
            "ae",
            [*DIGITS, "--ids", ",".join(f"digits/{n}" for n in range(17))],
            "1 to 16 records. Received: 17",
        ),
        ("traverse", "ae", [], "kind ae has no prior: give --input"),
        ("traverse", "vae", DIGITS, "leave out --input, or add --around"),
        ("traverse", "vae", ["--around", "digits/1"], "--input; give both. Received: 'digits/1'"),
        ("traverse", "vae", [*DIGITS, "--around", "x"], "cannot find or decode the record 'x'"),
        (
            "interpolate",
            "ae",
            [*DIGITS, "--from", "digits/1", "--to", "x"],
            "cannot find or decode the record 'x'",
        ),
        ("interpolate", "ae", [*DIGITS, *TWO, "--label", "label"], "--scores and --label together"),
        (
            "interpolate",
            "ae",
            [*DIGITS, *TWO, "--label", "label", "--scores", "RUN"],
            "a different model",
        ),
        ("interpolate", "vae", [*DIGITS, *TWO, "--label", "lable", "--scores", "RUN"], "'label'"),
        (
            "interpolate",
            "vae",
            [*DIGITS, *TWO, "--label", "latent_mean", "--scores", "RUN"],
            "cannot be used as categories",
        ),
        (
            "interpolate",
            "vae",
            [*DIGITS, *TWO, "--label", "id", "--scores", "RUN"],
            "0 records to fit",
        ),
        (
            "direction",
            "vae",
            ["--scores", "RUN", "--label", "label=11"],
            "needs records with and without",
        ),
        ("direction", "vae", ["--scores", "RUN", "--label", "label"], "expected COLUMN=VALUE"),
        ("direction", "vae", ["--scores", "RUN", "--label", "x=1"], "no column 'x'"),
        ("direction", "vae", ["--scores", "/nowhere", "--label", "x=1"], "no finished run"),
        ("direction", "dae", ["--scores", "RUN", "--label", "label=1"], "a different model"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_status_2(
    name: str,
    kind: str,
    flags: list[str],
    message: str,
    bundle: Bundles,
    run: str,
    tmp_path: Path,
    capsys: Capsys,
) -> None:
    output = tmp_path / "a.png"
    flags = [run if flag == "RUN" else flag for flag in flags]
    arguments = [name, "--model", str(bundle(kind)), "--output", str(output), *flags]
    line = _refused(arguments, capsys)

    assert re.search(message, line), line
    assert not output.exists()


@pytest.mark.parametrize("output", ["nowhere/a.png", "a.jpg"])
def test_the_output_is_looked_at_first(
    output: str, bundle: Bundles, tmp_path: Path, capsys: Capsys
) -> None:
    line = _refused(["sample", "--model", "/nowhere", "--output", str(tmp_path / output)], capsys)
    assert line.startswith("latentbeam: ")
    assert output in line


def test_an_earlier_picture_is_replaced(bundle: Bundles, tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "a.png").write_bytes(b"x" * 10_000_000)
    _explore("sample", bundle("vae"), tmp_path / "a.png", ["--count", "1"], capsys)
    assert (tmp_path / "a.png").stat().st_size < 1_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_damaged_model_is_refused(bundle: Bundles, tmp_path: Path, capsys: Capsys) -> None:
    shutil.copytree(bundle("vae"), tmp_path / "bundle")
    (tmp_path / "bundle" / KERAS_MODEL).write_bytes(b"no model")
    arguments = ["sample", "--model", str(tmp_path / "bundle"), "--output", str(tmp_path / "a.png")]
    assert "model.keras was changed" in _refused(arguments, capsys)
