"""The model card of a bundle, in Markdown: what was trained, on what data, its use and its limits.

Sections follow Mitchell et al., "Model Cards for Model Reporting" (2019, arXiv:1810.03993).
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ae_models.bundles.names import CURVES
from ae_models.calibration.p_values import rate_interval
from ae_models.config.configuration import Configuration, configuration_from_mapping
from ae_models.config.model import DenoisingConfig
from ae_models.scores import SCORES, primary_score, score_names
from ae_models.training.splits import CALIBRATION

_CARD = """\
# Model card

## Model

{kind}

- Images: {shape}, {config.image.bits} bits; others are resized (`{config.image.fit}`).
  Scaling: `{config.preprocessing.scaling}`.
{backbone}- Network: `{config.model.network}`, with {config.model.latent_size} latent dimensions and
  {trained[parameters]:,} parameters in total.
- Training: {trained[epochs]} epochs, {kept}, with a validation loss of
  {trained[validation_loss]:.5g}; seed {config.training.seed}, batches of
  {config.training.batch_size}, augmentation `{config.training.augment}`, optimizer
  `{config.training.optimizer}`, learning rate {config.training.learning_rate:g}.
{control}- Versions: {versions}.

`manifest.json` contains the complete configuration and a digest of every file in this folder.

{curves}## Intended use

To rank images by how unlike the training records they are, to flag the most unusual ones, and to
give every image a latent vector for search, clustering and analytics:

    latentbeam score --input NEW_IMAGES --model THIS_FOLDER --output run/

Out of scope: images of another kind, source or camera than the training records; explaining what is
wrong with an image; decisions about people without human review. A record that is not flagged has
not been shown to be normal.

## Training data

{inputs}
- Records: {records}.
- Rejected: {rejected}.
{split}
They are assumed to be normal: anomalies among them were learned as well.

## Scores

The primary score is `{primary}`; greater is more anomalous. With x the scaled image and
x' its reconstruction, it is defined as follows:

{meaning}

Also computed: {others}.
{recommended}
## Calibration

p-values of the primary score are computed against {calibration[records]:,} held-out records,
on which {unseen}: the share of them, including the record itself, whose score is at least as
high (split conformal). A record is flagged if its p-value is
at most {config.scoring.fpr:g}.{warning}{rate}{known}

{tail}

The primary score of these records:

{quantiles}

## Limits

{advice}- p-values are valid for records like the calibration records: on average, at most a share
  of {config.scoring.fpr:g} of those is flagged. Another camera, lens, lighting or file format
  changes all of them.
- How well anomalies are detected was not measured, since training uses none: run
  `latentbeam evaluate` on labelled records.
- Whether some groups of records are flagged more often than others was not measured: compare the
  share of flagged records by every column that distinguishes groups.
- Who trained the model, and the licences of the data and the model, are not recorded here.
"""
_CURVES = """\
![Loss and validation loss of each epoch]({file})

"""
_NO_TAIL = "No p-value is below {smallest:.2g}."
_TAIL = (
    "p-values below {smallest:.2g} come from a generalised Pareto distribution fitted to the "
    "highest of these scores: an extrapolation, not a guarantee."
)
_RATE = """
That holds on average over calibration sets of this size. With this one, {low:.2%} to {high:.2%} of
normal records are flagged, with a probability of 90% (Vovk 2012)."""
_GROUPED = " Records within a group are alike, which widens that range."
_KNOWN = """
Also fitted to these records: {names}. The values here, including those of scores computed from
them, are the values that each record would have had if it had been left out."""
_NONE_FLAGGED = " **No record can be flagged: there are too few calibration records.**"
_QUANTILES = {
    "minimum": "minimum",
    "median": "median",
    "quantile_90": "90% are below",
    "quantile_99": "99% are below",
    "maximum": "maximum",
}
_KINDS = {
    "ae": "An auto-encoder: it learns to reconstruct images from latents. Loss: `{model.loss}`.",
    "dae": """\
A denoising auto-encoder: it learns to produce {aim} from a corrupted input. Corruption:
{corruption}. Loss: `{model.loss}`.""",
    "vae": """\
A variational auto-encoder: its encoder returns the parameters of a distribution over latents
(`{model.posterior}`; prior `{model.prior}`), its decoder those of a distribution over images
(`{model.likelihood}`). Objective: `{model.objective}`.""",
}


def model_card(facts: Mapping[str, Any], *, has_curves: bool = True) -> str:
    """The card of a bundle.

    What users gave (paths, conditions, names) is put in code spans that it cannot end: it is shown
    verbatim, and never becomes a heading, a link or HTML.

    Args:
      facts: the manifest's facts about the bundle: `config`, `versions`, `training`, `calibration`.
      has_curves: whether `curves.png` is stored beside the card.
    """
    config = configuration_from_mapping(facts["config"])
    trained, calibration = facts["training"], facts["calibration"]
    primary = primary_score(config)
    known = _known(calibration)
    smallest, has_tail = 1 / (calibration["records"] + 1), calibration["pareto_tail"] is not None
    return _CARD.format(
        config=config,
        trained=trained,
        kept=_kept(trained["best_epoch"]),
        backbone=_backbone(config, trained.get("backbone")),
        control=_control(trained.get("control")),
        curves=_CURVES.format(file=CURVES) if has_curves and "curves" in trained else "",
        recommended=_recommended(trained.get("recommended")),
        calibration=calibration,
        kind=_kind(config),
        shape=" × ".join(map(str, config.image.shape)),
        versions=_listed(
            f"{name} {version}" for name, version in sorted(facts["versions"].items())
        ),
        inputs="\n".join(_inputs(trained)),
        records=_counts({**trained["records"], CALIBRATION: calibration["records"]}),
        rejected=_counts(trained["rejected_by_reason"]),
        primary=primary,
        meaning=_meaning(primary),
        others=_listed(code(name) for name in score_names(config) if name != primary),
        tail=(_TAIL if has_tail else _NO_TAIL).format(smallest=smallest),
        split="".join(f"- {line}.\n" for line in _split(config, trained)),
        rate=_rate(calibration["records"], config),
        unseen="no network was trained" if known else "nothing was trained or fitted",
        known=known,
        warning=_NONE_FLAGGED if smallest > config.scoring.fpr and not has_tail else "",
        # Missing from bundles written before there was any advice.
        advice="".join(f"- In training: {code(line)}.\n" for line in trained.get("advice", ())),
        quantiles="\n".join(f"- {text}: {calibration[k]:.5g}" for k, text in _QUANTILES.items()),
    )


def _kind(config: Configuration) -> str:
    model, aim, corruption = config.model, "the image", ""
    if isinstance(model, DenoisingConfig):
        steps = (
            f"{name}:{amount:g}" if amount else name for name, amount in model.corruption_steps
        )
        corruption = code("+".join(steps) or "none")
        aim = f"the image in the column {code(model.target)}" if model.target else aim
    return _KINDS[model.kind].format(model=model, aim=aim, corruption=corruption)


def _kept(best_epoch: int) -> str:
    if not best_epoch:
        return "none of which improved on the initial model"
    return f"of which number {best_epoch} was the best and was kept"


def _control(found: Mapping[str, Any] | None) -> str:
    """Empty for bundles written before the comparison existed."""
    if found is None:
        return ""
    return (
        f"- {found['records']:,} held-out records are reconstructed with a mean squared error of "
        f"{found['model']:.3g}, {found['ratio']:.2f} times\n  that of {found['components']} "
        "principal components of the training records, in scaled units.\n"
    )


def _backbone(config: Configuration, origin: Mapping[str, Any] | None) -> str:
    """Empty for a model of pixels."""
    if origin is None:
        return ""
    layers = "the default ones" if config.features.layers is None else None
    layers = layers or _listed(code(name) for name in config.features.layers or ())
    return (
        f"- Input and reconstruction: features of the frozen network {code(origin['backbone'])}, "
        f"layers: {layers}.\n  Its weights: {origin['source']}; licence: {origin['licence']}; "
        f"SHA-256\n  `{origin['sha256']}`.\n"
    )


def _recommended(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    aurocs = sorted(found["aurocs"].items(), key=lambda item: -item[1])
    return (
        f"\nHow well each score detects anomalies synthesised from {found['records']:,} held-out "
        "records (a patch\nmoved, halves swapped, warped, thickened, thinned, blurred, turned), as "
        "the mean AUROC over these kinds; no\nreal anomaly took part:\n\n"
        + "".join(f"- `{name}`: {value:.3f}\n" for name, value in aurocs)
    )


def _inputs(trained: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"- Input: {code(path)}." for path in trained["inputs"])
    yield from (f"- Only records where {code(condition)}." for condition in trained["where"])


def _split(config: Configuration, trained: Mapping[str, Any]) -> Iterator[str]:
    """Empty for bundles written before these facts existed."""
    if "groups" in trained:
        column = code(config.training.group or "")
        yield f"Groups, by {column}, each in one split: {_counts(trained['groups'])}"
    if "copies" in trained:
        told = _listed(
            f"{found['near']:,} of {found['records']:,} {split} records compared "
            f"({found['exact']:,} exact)"
            for split, found in trained["copies"].items()
        )
        yield f"Near-copies of training records: {told}"


def _rate(records: int, config: Configuration) -> str:
    low, high = rate_interval(records, config.scoring.fpr)
    grouped = _GROUPED if config.training.group is not None else ""
    return _RATE.format(low=low, high=high) + grouped if high else ""


def _known(calibration: Mapping[str, Any]) -> str:
    """Empty for bundles written before scores were fitted to these records."""
    names = calibration.get("known_to")
    return _KNOWN.format(names=_listed(map(code, names))) if names else ""


def _meaning(score: str) -> str:
    """The first paragraph of its docstring."""
    return (inspect.getdoc(SCORES[score]) or "").split("\n\n")[0]


def _counts(counts: Mapping[str, int]) -> str:
    return _listed(f"{count:,} {name}" for name, count in counts.items())


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items) or "none"


def code(text: str) -> str:
    """A CommonMark code span (section 6.1) that shows any `text` on one line."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if fence != "`" else f"`{line}`"
