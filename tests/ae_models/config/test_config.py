"""Configurations: through YAML and back, and what they refuse, with the offending value."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_models.config.configuration import (
    Configuration,
    ImageConfig,
    PreprocessingConfig,
    ScoringConfig,
    TrainingConfig,
    configuration_from_mapping,
    configuration_from_yaml,
    configuration_to_mapping,
    configuration_to_yaml,
    read_mapping,
    with_overrides,
)
from ae_models.config.model import (
    MODEL_CONFIGS,
    AutoencoderConfig,
    DenoisingConfig,
    VariationalConfig,
)
from ae_models.errors import ConfigError

counts = st.integers(1, 10**6)
positive = st.floats(1e-12, 1e12)
shares = st.floats(1e-6, 0.499)
shared = {
    "network": st.sampled_from(["dense", "convolutional", "residual"]),
    "latent_dim": counts,
    "widths": st.none() | st.lists(counts, min_size=1, max_size=4).map(tuple),
}
losses = st.sampled_from(["mse", "mae", "bce", "huber+0.2*ssim"])
models = st.one_of(
    st.builds(AutoencoderConfig, **shared, loss=losses, output=st.sampled_from([None, "sigmoid"])),
    st.builds(
        DenoisingConfig,
        **shared,
        loss=losses,
        corruption=st.sampled_from(
            [None, "rotation", "gaussian_noise:0.25+clip", "masking+blur:2"]
        ),
        target=st.sampled_from([None, "colour"]),
    ),
    st.builds(
        VariationalConfig,
        **shared,
        activation=st.sampled_from(["relu", "elu", "gelu", "silu", "tanh"]),
        posterior=st.sampled_from(["diagonal_gaussian", "full_gaussian", "laplace"]),
        prior=st.sampled_from(["standard", "vamp"]),
        prior_components=counts,
        likelihood=st.sampled_from(["bernoulli", "continuous_bernoulli", "gaussian", "laplace"]),
        scale=st.sampled_from(["per_pixel", "shared", "fixed"]),
        scale_value=st.floats(1.0, 1e9),
        min_scale=st.floats(1e-12, 0.99),
        likelihood_bits=st.integers(8, 16),
        samples=counts,
        beta=positive,
        kl_warmup_epochs=st.integers(0, 100),
        free_bits=st.floats(0, 100),
        regret_steps=counts,
        noise_samples=st.integers(1, 50).map(lambda pairs: 2 * pairs),
    ),
)
configurations = st.builds(
    Configuration,
    models,
    st.builds(
        ImageConfig,
        height=st.none() | counts,
        width=st.none() | counts,
        channels=st.none() | st.integers(1, 4),
        bits=st.sampled_from([*range(8, 17), None]),
        fit=st.sampled_from(["pad", "crop"]),
        convert=st.booleans(),
        max_pixels=counts,
    ),
    st.builds(PreprocessingConfig, scaling=st.sampled_from(["unit", "full_range"])),
    st.builds(
        TrainingConfig,
        epochs=counts,
        batch_size=counts,
        optimizer=st.sampled_from(["adam", "muon"]),
        learning_rate=positive,
        schedule=st.sampled_from(["constant", "cosine"]),
        binarise=st.booleans(),
        patience=counts,
        validation_share=shares,
        calibration_share=st.none() | shares,
        group=st.none() | st.text(min_size=1),
        shuffle_mebibytes=counts,
        seed=st.integers(0, 2**70),
    ),
    st.builds(
        ScoringConfig,
        scores=st.none() | st.lists(st.text(), min_size=1).map(tuple),
        primary=st.none() | st.text(),
        fpr=st.floats(1e-9, 0.999),
        tail=st.sampled_from(["none", "pareto"]),
        batch_rows=st.integers(2, 10**6),
    ),
)


@settings(deadline=None, max_examples=100)
@given(config=configurations)
def test_yaml_and_back_is_the_same(config: Configuration) -> None:
    assert configuration_from_yaml(configuration_to_yaml(config)) == config
    mapping = configuration_to_mapping(config)
    assert configuration_from_mapping(mapping) == config
    assert json.loads(json.dumps(mapping)) == mapping, "the manifest holds it as JSON"


@pytest.mark.parametrize("kind", sorted(MODEL_CONFIGS))
def test_defaults_need_a_kind_alone(kind: str) -> None:
    config = configuration_from_mapping({"model": {"kind": kind}})
    assert type(config.model) is MODEL_CONFIGS[kind]
    assert config == Configuration(MODEL_CONFIGS[kind]())


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"modle": {}}, ["unknown section 'modle'", "did you mean 'model'?"]),
    ({"zzz": {}}, ["unknown section 'zzz'", "known: model, image"]),
    ({"model": {"latent_dims": 3}}, ["'latent_dims'", "did you mean 'latent_dim'?"]),
    ({"model": {"loss": "mse", "beta": 2}}, ["'beta'", "in model"]),
    ({"training": {"epoch": 3}}, ["'epoch'", "in training", "did you mean 'epochs'?"]),
    ({"scoring": {3: 3}}, ["unknown key 3 in scoring"]),
    ({"training": []}, ["training must be a mapping", "[]"]),
    ({"training": None}, ["training must be a mapping", "None"]),
    ({"model": {"kind": "aee"}}, ["model.kind must be one of ae, dae, vae", "'aee'"]),
    ({"model": {"kind": ["ae"]}}, ["model.kind must be one of ae, dae, vae", "['ae']"]),
    ({"model": {"kind": None}}, ["model.kind", "None"]),
    ({"model": {"network": "deep"}}, ["model.network", "dense", "'deep'"]),
    ({"model": {"latent_dim": 0}}, ["model.latent_dim must be at least 1", "Received: 0"]),
    ({"model": {"latent_dim": "8"}}, ["model.latent_dim must be of type int", "'8'"]),
    ({"model": {"latent_dim": True}}, ["model.latent_dim must be of type int", "True"]),
    ({"model": {"latent_dim": 8.0}}, ["model.latent_dim must be of type int", "8.0"]),
    ({"model": {"widths": 3}}, ["model.widths must be a list", "3"]),
    ({"model": {"widths": []}}, ["model.widths", "()"]),
    ({"model": {"widths": [4, 0]}}, ["model.widths", "(4, 0)"]),
    ({"model": {"widths": [4, "a"]}}, ["model.widths must be of type int", "'a'"]),
    ({"model": {"loss": "mse+l2"}}, ["model.loss: 'l2' is not one of mse, mae", "'mse+l2'"]),
    ({"model": {"output": "tanh"}}, ["model.output must be one of linear, sigmoid", "'tanh'"]),
    (
        {"model": {"kind": "dae", "corruption": "blur+rain"}},
        ["model.corruption: 'rain' is not one of gaussian_noise", "Received: 'blur+rain'"],
    ),
    (
        {"model": {"kind": "dae", "corruption": "masking:1"}},
        ["model.corruption", "masking must be between 0 and 1", "'masking:1'"],
    ),
    ({"model": {"kind": "dae", "target": ""}}, ["model.target", "name of a column", "''"]),
    ({"model": {"target": "colour"}}, ["unknown key 'target' in model"]),
    ({"model": {"kind": "dae", "corruption_amount": 0}}, ["'corruption_amount'", "in model"]),
    (
        {"model": {"kind": "dae", "corruption": "blur+greyscale"}, "image": {"channels": 1}},
        ["'greyscale' needs image.channels 3 or 4", "Received: 1"],
    ),
    *(
        (
            {
                "model": {"kind": "dae", "corruption": f"gaussian_noise+{name}"},
                "preprocessing": {"scaling": "standard"},
            },
            [f"model.corruption '{name}' needs preprocessing.scaling 'unit'", "'standard'"],
        )
        for name in ("clip", "salt_and_pepper")
    ),
    ({"model": {"kind": "vae", "likelihood": "cauchy"}}, ["model.likelihood", "'cauchy'"]),
    ({"model": {"kind": "vae", "beta": -1}}, ["model.beta", "-1.0"]),
    ({"model": {"kind": "vae", "noise_samples": 3}}, ["model.noise_samples", "even", "3"]),
    ({"image": {"height": 0}}, ["image.height must be at least 1", "0"]),
    ({"image": {"bits": 7}}, ["image.bits must be null, or 8 to 16", "7"]),
    ({"image": {"bits": 17}}, ["image.bits", "17"]),
    ({"image": {"bits": True}}, ["image.bits", "True"]),
    ({"image": {"bits": 8.0}}, ["image.bits", "8.0"]),
    ({"image": {"fit": "squash"}}, ["image.fit must be one of pad, crop", "'squash'"]),
    ({"image": {"convert": 1}}, ["image.convert must be of type bool", "1"]),
    ({"image": {"max_pixels": 10**9}}, ["image.max_pixels", "1000000000"]),
    ({"training": {"seed": -1}}, ["training.seed must be at least 0", "-1"]),
    ({"training": {"learning_rate": 0}}, ["training.learning_rate", "0.0"]),
    ({"training": {"learning_rate": float("nan")}}, ["training.learning_rate", "nan"]),
    ({"training": {"learning_rate": float("inf")}}, ["training.learning_rate", "inf"]),
    ({"training": {"learning_rate": 10**400}}, ["training.learning_rate"]),
    ({"training": {"validation_share": 0.5}}, ["training.validation_share", "0.5"]),
    ({"training": {"calibration_share": 0}}, ["training.calibration_share must be null", "0.0"]),
    ({"training": {"group": ""}}, ["training.group must be null, or the name of a column", "''"]),
    ({"training": {"group": 3}}, ["training.group must be of type str", "3"]),
    ({"scoring": {"fpr": 1}}, ["scoring.fpr must be between 0 and 1", "1.0"]),
    ({"scoring": {"tail": "gpd"}}, ["scoring.tail must be one of none, pareto", "'gpd'"]),
    ({"scoring": {"batch_rows": 1}}, ["scoring.batch_rows must be null, or at least 2", "1"]),
    ({"scoring": {"scores": "kl"}}, ["scoring.scores must be a list", "'kl'"]),
    ({"preprocessing": {"scaling": "log"}}, ["preprocessing.scaling", "'log'"]),
    ({"model": {"kind": "vae", "posterior": "cauchy"}}, ["model.posterior", "laplace", "'cauchy'"]),
    ({"model": {"kind": "vae", "prior": "flow"}}, ["model.prior", "standard, vamp", "'flow'"]),
    ({"model": {"activation": "sine"}}, ["model.activation", "relu", "'sine'"]),
    (
        {"model": {"network": "residual", "activation": "glu"}},
        ["model.activation", "residual network", "'glu'"],
    ),
    ({"model": {"kind": "vae", "scale": "free"}}, ["model.scale", "per_pixel", "'free'"]),
    ({"model": {"kind": "vae", "scale_value": 0}}, ["model.scale_value", "0.0"]),
    ({"model": {"kind": "vae", "min_scale": -0.1}}, ["model.min_scale", "-0.1"]),
    (
        {"model": {"kind": "vae", "scale": "shared", "scale_value": 0.02, "min_scale": 0.02}},
        ["model.scale_value", "greater than min_scale, 0.02", "Received: 0.02"],
    ),
    ({"model": {"kind": "vae", "likelihood_bits": 17}}, ["model.likelihood_bits", "8 to 16", "17"]),
    ({"model": {"kind": "vae", "objective": "cubo"}}, ["model.objective", "elbo, iwae", "'cubo'"]),
    ({"model": {"kind": "vae", "samples": 0}}, ["model.samples must be at least 1", "0"]),
    ({"model": {"kind": "vae", "prior_components": 0}}, ["model.prior_components", "0"]),
    ({"model": {"kind": "vae", "regret_steps": 0}}, ["model.regret_steps", "0"]),
    ({"model": {"kind": "vae", "kl_warmup_epochs": -1}}, ["model.kl_warmup_epochs", "-1"]),
    ({"model": {"kind": "vae", "free_bits": -0.5}}, ["model.free_bits", "-0.5"]),
    ({"model": {"kind": "vae", "objective": "iwae", "beta": 2}}, ["model.beta", "iwae", "2.0"]),
    (
        {"model": {"kind": "vae", "objective": "iwae", "kl_warmup_epochs": 3}},
        ["model.kl_warmup_epochs", "iwae", "3"],
    ),
    (
        {"model": {"kind": "vae", "objective": "iwae", "free_bits": 0.25}},
        ["model.free_bits", "iwae", "0.25"],
    ),
    ({"training": {"schedule": "step"}}, ["training.schedule", "constant, cosine", "'step'"]),
    (
        {"training": {"binarise": True}, "preprocessing": {"scaling": "standard"}},
        ["training.binarise needs", "'standard'"],
    ),
    *(
        (
            {
                "model": {"kind": "vae", "likelihood": "discretised_logistic"},
                "preprocessing": {"scaling": scaling},
            },
            ["'discretised_logistic' needs preprocessing.scaling", "'full_range'", repr(scaling)],
        )
        for scaling in ("unit", "standard")
    ),
    (
        {
            "model": {"kind": "vae", "likelihood": "discretised_logistic"},
            "preprocessing": {"scaling": "full_range"},
            "image": {"bits": 16},
        },
        ["model.likelihood_bits must be 16", "Received: 8"],
    ),
    (
        {"model": {"kind": "vae"}, "preprocessing": {"scaling": "standard"}},
        ["'bernoulli' needs preprocessing.scaling 'unit'", "'standard'"],
    ),
    (
        {"model": {"loss": "bce"}, "preprocessing": {"scaling": "standard"}},
        ["'bce' needs preprocessing.scaling 'unit'", "'standard'"],
    ),
    (
        {"model": {"loss": "mse+ssim"}, "preprocessing": {"scaling": "standard"}},
        ["'ssim' needs preprocessing.scaling 'unit'", "'standard'"],
    ),
    (
        {"model": {"output": "sigmoid"}, "preprocessing": {"scaling": "standard"}},
        ["model.output 'sigmoid' needs preprocessing.scaling 'unit'", "'standard'"],
    ),
]


@pytest.mark.parametrize(("mapping", "parts"), REFUSED, ids=[str(m)[:60] for m, _ in REFUSED])
def test_refuses_with_one_line_that_holds_the_value(
    mapping: dict[str, Any], parts: list[str]
) -> None:
    model = {"kind": "ae", **mapping.get("model", {})}
    with pytest.raises(ConfigError) as caught:
        configuration_from_mapping({**mapping, "model": model})
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message


@pytest.mark.parametrize("document", [None, [], "text", {}, {"model": None}, {"model": "ae"}])
def test_a_configuration_is_a_mapping_with_a_model(document: Any) -> None:
    with pytest.raises(ConfigError, match="must be a mapping"):
        configuration_from_mapping(document)


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("model.latent_dim=16", "model", "latent_dim", 16),
        ("training.learning_rate=0.5", "training", "learning_rate", 0.5),
        ("model.widths=[8, 4]", "model", "widths", [8, 4]),
        ("scoring.primary=null", "scoring", "primary", None),
        ("scoring.primary=a=b", "scoring", "primary", "a=b"),
        ("image.convert=true", "image", "convert", True),
    ],
)
def test_overrides_are_read_as_yaml(override: str, section: str, key: str, value: Any) -> None:
    mapping = {"model": {"kind": "ae", "latent_dim": 2}}
    result = with_overrides(mapping, [override])
    assert result[section][key] == value
    assert type(result[section][key]) is type(value)
    assert result["model"]["kind"] == "ae"
    assert mapping == {"model": {"kind": "ae", "latent_dim": 2}}, "the given mapping was changed"


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "5e-4", "1.0e-3"])
def test_overrides_take_numbers_in_scientific_notation(text: str) -> None:
    mapping = with_overrides({"model": {"kind": "ae"}}, [f"training.learning_rate={text}"])
    assert configuration_from_mapping(mapping).training.learning_rate == float(text)


def test_the_last_override_wins() -> None:
    result = with_overrides({}, ["training.seed=1", "training.epochs=2", "training.seed=3"])
    assert result == {"training": {"seed": 3, "epochs": 2}}


@pytest.mark.parametrize(
    "override", ["model", "model=1", "model.=1", "model.a", "model.a=[", "model.a=2024-13-45"]
)
def test_an_override_that_cannot_be_read_is_named(override: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(override.partition("=")[0])):
        with_overrides({}, [override])


def test_an_override_of_what_is_no_section_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training must be a mapping\. Received: 7"):
        with_overrides({"training": 7}, ["training.seed=1"])


def test_read_mapping_reads_the_file_and_overrides_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("model: {kind: vae, latent_dim: 4}\n", encoding="utf-8")
    assert read_mapping(path) == {"model": {"kind": "vae", "latent_dim": 4}}
    assert read_mapping(path, ["model.beta=2"])["model"]["beta"] == 2
    path.write_text("", encoding="utf-8")
    assert read_mapping(path) == {}


@pytest.mark.parametrize(
    "content", [b"model: [", b"\xff\xfe\xff", b"- a\n- b\n", b"3", b"[]", b"seed: 2024-13-45", None]
)
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(str(path))) as caught:
        read_mapping(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("bits", "levels"), [(None, 8), (None, 16), (8, 8), (16, 16)])
def test_levels_that_are_those_of_the_images_are_taken(bits: Any, levels: Any) -> None:
    model = VariationalConfig(likelihood="discretised_logistic", likelihood_bits=levels)
    config = Configuration(
        model, ImageConfig(bits=bits), preprocessing=PreprocessingConfig("full_range")
    )
    assert config.model == model
    assert model.likelihood_options.bits == levels
    with pytest.raises(ConfigError, match="likelihood_bits must be"):
        config.with_image(ImageConfig(bits=24 - levels))


def test_configurations_are_frozen() -> None:
    config = Configuration(VariationalConfig())
    for section, field in ((config, "model"), (config.model, "beta"), (config.training, "seed")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(section, field, 3)
    assert hash(config) == hash(Configuration(VariationalConfig()))


def test_the_image_must_be_known_before_its_shape_is_asked_for() -> None:
    assert ImageConfig(5, 4, 3, 16).shape == (5, 4, 3)
    assert ImageConfig(5, 4, 3, 16).dtype == "uint16"
    assert ImageConfig(5, 4, 3, 16).image_bytes == 120
    with pytest.raises(ConfigError, match="shape is not known"):
        _ = ImageConfig(5, 4).shape
    with pytest.raises(ConfigError, match="bits are not known"):
        _ = ImageConfig(5, 4, 3).dtype


@settings(deadline=None)
@given(rows=st.integers(2, 4096), side=st.integers(1, 20_000))
def test_a_batch_never_holds_more_than_its_memory_but_two_rows(rows: int, side: int) -> None:
    image = ImageConfig(side, side, 3, 8)
    scoring = ScoringConfig(batch_rows=rows)
    chosen = Configuration(AutoencoderConfig(), image, scoring=scoring).batch_rows
    assert 2 <= chosen <= rows
    assert chosen == 2 or chosen * image.image_bytes <= 4 << 20
    if chosen != rows:  # then a multiple of what kernels take at once, and no fewer than needed
        assert chosen % 24 == 0 or chosen in (2, 4)
        step = {2: 2, 4: 20}.get(chosen, 24)
        assert chosen + step > rows or (chosen + step) * image.image_bytes > 4 << 20


@pytest.mark.parametrize(("network", "rows"), [("dense", 1024), ("convolutional", 256)])
def test_networks_of_small_activations_have_large_batches(network: str, rows: int) -> None:
    config = Configuration(AutoencoderConfig(network=network), ImageConfig(28, 28, 1, 8))
    assert config.batch_rows == rows
