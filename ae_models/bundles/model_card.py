"""The model card of a bundle: what was trained, on what, for what, and where it ends, in Markdown.

Sections after Mitchell et al., "Model Cards for Model Reporting" (2019, arXiv:1810.03993).
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

- Images: {shape}, {config.image.bits} bits; others are brought to that size
  (`{config.image.fit}`). Scaling: `{config.preprocessing.scaling}`.
{backbone}- Network: `{config.model.network}`, a latent of {config.model.latent_size} dimensions and
  a total of {trained[parameters]:,} parameters.
- Training: {trained[epochs]} epochs, of which {kept}, with a validation loss of
  {trained[validation_loss]:.5g}; seed {config.training.seed}, batches of
  {config.training.batch_size}, augmentation `{config.training.augment}`, optimizer
  `{config.training.optimizer}`, learning rate {config.training.learning_rate:g}.
{control}- Versions: {versions}.

`manifest.json` has the whole configuration, and vouches for every file of this folder.

{curves}## Intended use

To rank images by how unlike the training records they are, to flag the least likely of them, and
to give every image a latent vector, for search, clusters and analytics:

    latentbeam score --input NEW_IMAGES --model THIS_FOLDER --output run/

Out of scope: images of another kind, source or camera than the training records; saying what is
wrong with an image; decisions about people that no person looks at. A record that is not flagged
has not been shown to be normal.

## Training data

{inputs}
- Records: {records}.
- Rejected: {rejected}.
{split}
They are taken to be normal: what was odd among them was learned as well.

## Scores

The primary score is `{primary}`; greater is more anomalous. With x the scaled image and
x' what the model makes of it, it is this:

{meaning}

Also computed: {others}.
{recommended}
## Calibration

{calibration[records]:,} held-out records, on which {unseen}, make
p-values of the primary score: the share of them, the record itself among them, that scores at
least as high (split conformal). A record is flagged where its p-value is
at most {config.scoring.fpr:g}.{warning}{rate}{known}

{tail}

The primary score of these records:

{quantiles}

## Limits

{advice}- p-values hold for records like the calibration records: of those, at most a share of
  {config.scoring.fpr:g} is flagged, on average. Another camera, lens, light or file format
  changes them all.
- How well anomalies are found was not measured, as training knows none: `latentbeam evaluate`
  measures it on records whose truth is known.
- Whether some groups of records are flagged more often than others was not measured: compare the
  share of flags by every column that tells groups apart.
- Who trained the model, and under what licence the data and the model are, is not known here.
"""
_CURVES = """\
![Loss and validation loss of each epoch]({file})

"""
_NO_TAIL = "No p-value is below {smallest:.2g}."
_TAIL = (
    "p-values below {smallest:.2g} come from a generalised Pareto distribution, fitted to the "
    "highest of these scores: an extrapolation, not a guarantee."
)
_RATE = """
That holds on average over sets of so many. With this one, {low:.2%} to {high:.2%} of normal
records are flagged, with a probability of 90% (Vovk 2012)."""
_GROUPED = " Records of one group are alike, which makes that range wider."
_KNOWN = """
Fitted to these records too: {names}. The values here, also of scores that are made of them, are
those that each record would have had, had it been left out."""
_NONE_FLAGGED = " **None can be: there are too few calibration records.**"
_QUANTILES = {
    "minimum": "least",
    "median": "median",
    "quantile_90": "90% are below",
    "quantile_99": "99% are below",
    "maximum": "greatest",
}
_KINDS = {
    "ae": "An auto-encoder: it learns to rebuild an image from its latent. Loss: `{model.loss}`.",
    "dae": """\
A denoising auto-encoder: it learns to make {aim} of an input that was corrupted. Corruption:
{corruption}. Loss: `{model.loss}`.""",
    "vae": """\
A variational auto-encoder: its encoder gives the parameters of a distribution over latents
(`{model.posterior}`; prior `{model.prior}`), its decoder those of a distribution over images
(`{model.likelihood}`). Objective: `{model.objective}`.""",
}


def model_card(facts: Mapping[str, Any], *, has_curves: bool = True) -> str:
    """The card of a bundle.

    What users gave (paths, conditions, names) stands in code spans that it cannot end: it is shown,
    and never becomes a heading, a link or HTML.

    Args:
      facts: what the manifest says of the bundle: `config`, `versions`, `training`, `calibration`.
      has_curves: whether the picture of the losses is beside the card.
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
        # Absent of facts of bundles before there was any.
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
        return "none was better than before the first"
    return f"number {best_epoch} was kept"


def _control(found: Mapping[str, Any] | None) -> str:
    """Of facts of bundles before there was one, nothing."""
    if found is None:
        return ""
    return (
        f"- {found['records']:,} held-out records are rebuilt with a mean squared error of "
        f"{found['model']:.3g}, {found['ratio']:.2f} times\n  that of {found['components']} "
        "principal components of the training records, in scaled units.\n"
    )


def _backbone(config: Configuration, origin: Mapping[str, Any] | None) -> str:
    """Of a model of pixels nothing."""
    if origin is None:
        return ""
    layers = "those that are usual for it" if config.features.layers is None else None
    layers = layers or _listed(code(name) for name in config.features.layers or ())
    return (
        f"- What is rebuilt: features of the frozen network {code(origin['backbone'])}, of the "
        f"layers {layers}.\n  Its weights: {origin['source']}; licence: {origin['licence']}; "
        f"SHA-256\n  `{origin['sha256']}`.\n"
    )


def _recommended(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    aurocs = sorted(found["aurocs"].items(), key=lambda item: -item[1])
    return (
        f"\nWhich of them finds anomalies made of {found['records']:,} held-out records (a patch "
        "moved, halves swapped,\nwarped, thickened, thinned, blurred, turned), by AUROC, the mean "
        "over these; no real anomaly took part:\n\n"
        + "".join(f"- `{name}`: {value:.3f}\n" for name, value in aurocs)
    )


def _inputs(trained: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"- Input: {code(path)}." for path in trained["inputs"])
    yield from (f"- Only records where {code(condition)}." for condition in trained["where"])


def _split(config: Configuration, trained: Mapping[str, Any]) -> Iterator[str]:
    """Of facts of bundles from before there were any, nothing."""
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
    """Of facts of bundles from before scores knew these records, nothing."""
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
    """A code span of CommonMark (section 6.1) that shows `text`, whatever it holds, on one line."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if fence != "`" else f"`{line}`"
