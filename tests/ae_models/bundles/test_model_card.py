"""The model card of a bundle: its content, and that no name can become anything but text."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.model_card import code, model_card
from ae_models.errors import BundleError
from ae_models.scores import SCORES
from ae_models.scores.feature_score import FeatureScore
from tests.support.signing import write_signed
from transforms.scoring.model_handler import LoadedModel

Bundles = Callable[[str], Path]
MARKDOWN = MarkdownIt("commonmark")
SECTIONS = ["Model", "Intended use", "Training data", "Scores", "Calibration", "Limits"]


def _card(bundle: Path) -> str:
    return (bundle / "model_card.md").read_text(encoding="utf-8")


def _tokens(card: str) -> list[Token]:
    """All tokens, including those within a line."""
    return [inner for token in MARKDOWN.parse(card) for inner in (token, *(token.children or ()))]


def _headings(card: str) -> list[str]:
    tokens = MARKDOWN.parse(card)
    return [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]


def _text(card: str) -> str:
    """The text as displayed."""
    return " ".join(token.content for token in _tokens(card) if token.type == "inline").replace(
        "\n", " "
    )


SAID: dict[str, list[str]] = {
    "ae": ["An auto-encoder: ", "Loss: `mse`."],
    "dae": ["A denoising auto-encoder: ", "Corruption: `gaussian_noise:0.3`."],
    "vae": ["A variational auto-encoder: ", "`diagonal_gaussian`; prior `standard`"],
}


@pytest.mark.parametrize("kind", SAID)
def test_the_card_tells_the_facts(bundle: Bundles, kind: str) -> None:
    manifest, card = open_bundle(bundle(kind)).manifest, _card(bundle(kind))
    assert "model_card.md" in manifest["files"]
    assert card == model_card(manifest)
    assert _headings(card) == ["Model card", *SECTIONS]
    training, calibrated = manifest["training"], manifest["calibration"]["records"]
    records = training["records"]
    facts = [
        *SAID[kind],
        "8 × 8 × 1, 8 bits",
        f"{training['parameters']:,} parameters",
        f"seed {manifest['config']['training']['seed']}",
        f"keras {manifest['versions']['keras']}",
        "Input: `builtin:digits`.",
        "Only records where `label!=0`.",
        f"{records['train']:,} train, {records['validation']} validation, {calibrated} calibration",
        "The primary score is `reconstruction_smoothed`",
        "Mean over the values of the squared residual",
        f"No p-value is below {1 / (calibrated + 1):.2g}.",
        "at most 0.05",
        f"maximum: {manifest['calibration']['maximum']:.5g}",
    ]
    for fact in facts:
        assert fact in _text(card), fact
    (command,) = [token.content for token in _tokens(card) if token.type == "code_block"]
    assert command.startswith("latentbeam score --input ")


@pytest.fixture
def facts(bundle: Bundles) -> dict[str, Any]:
    """The facts of a bundle, as in its manifest."""
    return json.loads((bundle("vae") / "manifest.json").read_text())


def test_the_card_tells_of_a_tail_and_of_too_few_records(facts: dict[str, Any]) -> None:
    assert "No record can be flagged" not in model_card(facts)
    facts["config"]["scoring"]["fpr"] = 0.001
    assert "No record can be flagged" in model_card(facts)
    facts["calibration"]["pareto_tail"] = {"threshold": 1, "scale": 1, "shape": 0, "share": 0.1}
    card = model_card(facts)
    assert "generalised Pareto distribution" in card
    assert "No record can be flagged" not in card
    assert "No p-value is below" not in card


def test_the_card_tells_of_rejects_and_of_pairs(facts: dict[str, Any]) -> None:
    facts["training"]["rejected_by_reason"] = {"corrupt": 1200, "empty": 2}
    assert "Rejected: 1,200 corrupt, 2 empty." in model_card(facts)
    facts["config"]["model"] = {"kind": "dae", "target": "colour"}
    assert "produce the image in the column `colour` from a corrupted input" in _text(
        model_card(facts)
    )


def test_the_card_shows_curves_only_if_there_are_any(facts: dict[str, Any]) -> None:
    assert "](curves.png)" in model_card(facts)
    assert "curves.png" not in model_card(facts, has_curves=False)
    del facts["training"]["curves"]
    assert "curves.png" not in model_card(facts)


def test_the_card_tells_of_copies_of_groups_and_of_rates(facts: dict[str, Any]) -> None:
    facts["calibration"]["records"], facts["config"]["scoring"]["fpr"] = 1000, 0.01
    text = _text(model_card(facts))
    assert "With this one, 0.54% to 1.57% of normal records are flagged, with a prob" in text
    assert "Groups, by" not in text
    facts["training"]["copies"] = {
        "calibration": {"records": 512, "exact": 1, "near": 7},
        "validation": {"records": 80, "exact": 0, "near": 2},
    }
    facts["training"]["groups"] = {"train": 1300, "validation": 12, "calibration": 13}
    facts["config"]["training"]["group"] = HOSTILE[1]
    card = model_card(facts)
    assert (
        "Near-copies of training records: 7 of 512 calibration records compared (1 exact), "
        "2 of 80 validation records compared (0 exact)."
    ) in _text(card)
    assert "each in one split: 1,300 train, 12 validation, 13 calibration." in _text(card)
    assert "Records within a group are alike" in _text(card)
    assert _headings(card) == ["Model card", *SECTIONS]
    # Bundles written before these facts existed.
    del facts["training"]["copies"], facts["training"]["groups"]
    del facts["config"]["training"]["group"]
    assert "Near-copies" not in model_card(facts)


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_told_of_without_marks(facts: dict[str, Any], name: str) -> None:
    """The text of docstrings is shown without change."""
    kind = min(SCORES[name].kinds & {"dae", "vae"})
    facts["config"]["model"] = {"kind": kind, "likelihood": "discretised_logistic"}
    if kind == "dae":
        facts["config"]["model"] = {"kind": "dae", "corruption": "rotation"}
    facts["config"]["preprocessing"]["scaling"] = "full_range"
    facts["config"]["scoring"]["scores"] = [name, *SCORES[name].parts]
    if issubclass(SCORES[name], FeatureScore) or SCORES[name].parts:
        facts["config"]["model"] = {"kind": "ae"}
        facts["config"]["features"] = {"backbone": "efficientnet_lite0"}
        facts["config"]["preprocessing"]["scaling"] = "standard"
    card = model_card(facts)
    assert f"The primary score is `{name}`" in card
    assert not {"em_open", "strong_open", "link_open"} & {token.type for token in _tokens(card)}


HOSTILE = [
    "images/`$(reboot)`/*.png",
    "a\n\n# A heading\n\n<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[here](javascript:alert(1)) ![](http://x/y.png)",
    "**bold** | a | table |\n|---|\n",
    "``` \n~~~\n```",
    "ends with a backtick`",
    "\x1b[2J\u202eevil\x00",
    "{config} {0} %s \\` &lt;",
]


def test_no_name_becomes_anything_but_text(facts: dict[str, Any]) -> None:
    harmless = model_card(facts)
    facts["training"] |= {"inputs": HOSTILE, "where": [f"label={text}" for text in HOSTILE]}
    facts["config"]["model"] = {"kind": "dae", "target": HOSTILE[1]}
    card = model_card(facts)
    assert _headings(card) == _headings(harmless)
    types = {token.type for token in _tokens(card)}
    assert types <= {token.type for token in _tokens(harmless)}
    shown = [token.content for token in _tokens(card) if token.type == "code_inline"]
    for text in ("images/`$(reboot)`/*.png", HOSTILE[2], HOSTILE[3], "{config} {0} %s \\` &lt;"):
        assert text in shown
        assert f"label={text}" in shown
    assert all(text.isprintable() for text in shown)


@given(st.text(min_size=1).filter(lambda text: text.isprintable() and text.strip()))
def test_a_code_span_shows_any_text(text: str) -> None:
    (paragraph,) = [token for token in MARKDOWN.parse(code(text)) if token.type == "inline"]
    (span,) = paragraph.children or ()
    assert span.type == "code_inline"
    assert span.content.strip(" ") == text.strip(" ")


@pytest.fixture
def copy(bundle: Bundles, tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return Path(shutil.copytree(bundle("ae"), tmp_path / "copy"))


def test_a_bundle_from_before_cards_opens_and_scores(copy: Path) -> None:
    (copy / "model_card.md").unlink()
    manifest = json.loads((copy / "manifest.json").read_text())
    with pytest.raises(BundleError, match=r"model_card\.md is missing"):
        open_bundle(copy)
    del manifest["files"]["model_card.md"]
    write_signed(copy, manifest)
    assert "model_card.md" not in open_bundle(copy).manifest["files"]
    LoadedModel(str(copy))
    (copy / "model_card.md").write_text("# Another")
    with pytest.raises(BundleError, match=r"model_card\.md is not in manifest\.json"):
        open_bundle(copy)
