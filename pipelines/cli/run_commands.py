"""The commands that read a finished run."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import click

from pipelines.cli import summaries
from pipelines.cli.command import FILE, FOLDER, INPUT, OUTPUT, Command, option
from pipelines.cli.folders import checked_bundle, checked_clusters, checked_run
from pipelines.cli.options import (
    beam_flags,
    bundle_option,
    dry_run_option,
    inputs_option,
    json_option,
    load_program,
    output_option,
    overwrite_option,
    print_result,
    reading_options,
    scores_option,
    seed_option,
)

_MISMATCH = 1
_RULE, _CLUSTERS, _CLASSES, _PAGE = "Rule", "Clusters", "Classes", "Page"


@click.command(cls=Command, example="latentbeam evaluate --scores run/ --anomalous 'label!=good'")
@scores_option()
@option(
    "--anomalous",
    metavar="COLUMN=VALUE[,VALUE]",
    required=True,
    group=INPUT,
    help="Records that are in fact anomalous; != for all but these values.",
)
@option(
    "--by",
    metavar="COLUMN",
    group=INPUT,
    help="Add a row for each value of this column among the anomalous records.",
)
@option(
    "--masks",
    metavar="DIR",
    group=INPUT,
    completes=FOLDER,
    help="Masks of defects, at the images' paths or in MVTec's layout ground_truth: measure how "
    "well anomaly maps (score --maps all) find their pixels.",
)
@option(
    "--plot",
    metavar="FILE.png",
    group=OUTPUT,
    completes=FILE,
    help="Draw ROC and precision-recall curves.",
)
@json_option
def evaluate(
    *,
    scores: str,
    anomalous: str,
    by: str | None,
    plot: str | None,
    masks: str | None,
    as_json: bool,
) -> None:
    """Measure how well a run's scores find the anomalous records.

    Prints AUROC and average precision of each score, with intervals, and the shares of anomalous
    and of other records that are flagged: for the primary score by the run's is_anomaly, for the
    others at the same p-value.
    """
    program = load_program("pipelines.commands.evaluate")

    result = program.evaluate(scores, anomalous, by, plot, masks)
    print_result(result, as_json, summaries.evaluated_lines)


@click.command(
    cls=Command, example="latentbeam relabel --scores run/ --output relabelled/ --fdr 0.1"
)
@scores_option()
@option("--fpr", type=float, group=_RULE, help="Flag records with p_value <= FPR.")
@option(
    "--fdr",
    type=float,
    group=_RULE,
    help="Flag records by the Benjamini-Hochberg procedure at this rate, which bounds the expected "
    "share of false flags among all flags.",
)
@option(
    "--score",
    metavar="NAME",
    group=_RULE,
    help="Also recompute score and p_value from this score of the run, with the bundle's "
    "calibration records.",
)
@option(
    "--model",
    "-m",
    metavar="BUNDLE",
    group=_RULE,
    completes=FOLDER,
    callback=checked_bundle,
    help="Model bundle, for --score.  [default: the one that score used]",
)
@output_option("Folder of the relabelled run to write.")
@overwrite_option
@json_option
def relabel(
    *,
    scores: str,
    output: str,
    fpr: float | None,
    fdr: float | None,
    score: str | None,
    model: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Recompute a run's flags, without images and without scoring.

    Give either --fpr or --fdr.
    """
    program = load_program("pipelines.commands.relabel")

    ledger = program.relabel(scores, output, fpr, fdr, overwrite, score, model)
    print_result(ledger, as_json, lambda _: summaries.relabelled_lines(ledger, output))


@click.command(
    cls=Command,
    for_beam=True,
    example="latentbeam cluster --scores run/ --output clusters/ --method n2d --clusters 10",
)
@scores_option()
@option(
    "--label",
    metavar="COLUMN",
    group=INPUT,
    help="Column to compare the clusters with.  [default: label, if there is one]",
)
@option(
    "--method",
    type=click.Choice(["kmeans", "gmm", "hdbscan", "n2d"]),
    default="kmeans",
    show_default=True,
    group=_CLUSTERS,
    help="Clustering method.",
)
@option(
    "--clusters",
    type=int,
    metavar="K",
    group=_CLUSTERS,
    help="Number of clusters.  [default: chosen by the method's criterion]",
)
@option(
    "--min_cluster_size",
    type=int,
    metavar="N",
    group=_CLUSTERS,
    help="Minimum cluster size, in sampled records (hdbscan only).  [default: 1% of the sample]",
)
@option(
    "--sample",
    type=int,
    metavar="N",
    group=_CLUSTERS,
    help="Maximum number of records in which clusters are found.  [default: 50000; for hdbscan "
    "10000]",
)
@output_option("Folder of the clusters to write.")
@overwrite_option
@json_option
@seed_option("Random seed.")
@dry_run_option(hidden=True)
@click.pass_context
def cluster(
    context: click.Context,
    *,
    scores: str,
    output: str,
    method: str,
    clusters: int | None,
    min_cluster_size: int | None,
    label: str | None,
    sample: int | None,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Group a run's records by their latents.

    Clusters are found in a sample of the records; a pipeline then assigns every record to one.
    """
    program = load_program("pipelines.commands.cluster", *(["umap"] if method == "n2d" else []))

    ledger = program.cluster(
        scores,
        output,
        method=method,
        clusters=clusters,
        label=label,
        sample=sample,
        min_cluster_size=min_cluster_size,
        seed=seed,
        overwrite=overwrite,
        beam_flags=beam_flags(context),
    )
    print_result(ledger, as_json, lambda _: summaries.clustered_lines(ledger, output))


@click.command(
    cls=Command,
    for_beam=True,
    short_help="Compute class probabilities from latents and labels.",
    example="latentbeam classify --scores run/ --output classes/ --apply new_run/",
)
@scores_option(text="Run to fit to: a folder that score wrote.")
@option(
    "--label",
    metavar="COLUMN",
    default="label",
    show_default=True,
    group=INPUT,
    help="Column of true classes.",
)
@option(
    "--apply",
    metavar="DIR",
    group=INPUT,
    completes=FOLDER,
    callback=checked_run,
    help="Run to classify, scored by the same bundle.  [default: that of --scores]",
)
@option(
    "--components",
    type=int,
    default=1,
    show_default=True,
    group=_CLASSES,
    help="Number of Gaussians per class.",
)
@option(
    "--fpr",
    type=float,
    default=0.01,
    show_default=True,
    group=_CLASSES,
    help="Assign no class to records whose evidence has a p-value of at most FPR.",
)
@option(
    "--sample",
    type=int,
    default=50_000,
    show_default=True,
    group=_CLASSES,
    help="Maximum number of records to fit to.",
)
@output_option("Folder of the class probabilities to write.")
@overwrite_option
@json_option
@seed_option("Random seed.")
@dry_run_option(hidden=True)
@click.pass_context
def classify(
    context: click.Context,
    *,
    scores: str,
    label: str,
    output: str,
    apply: str | None,
    components: int,
    fpr: float,
    sample: int,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compute class probabilities from a run's latents and a column of labels.

    p(class | record) follows by Bayes' rule from Gaussians fitted to each class. A record that is
    unlikely under all of them gets no class.
    """
    program = load_program("pipelines.commands.classify")

    config = program.ClassConfig(label, components, fpr, sample, seed)
    ledger = program.classify(
        scores, output, config, apply=apply, beam_flags=beam_flags(context), overwrite=overwrite
    )
    print_result(ledger, as_json, lambda _: summaries.classified_lines(ledger, output))


@click.command(
    cls=Command, example="latentbeam report --scores run/ --model bundle/ --output report.html"
)
@scores_option()
@inputs_option(required=False, text="Where the images are now.  [default: where score read them]")
@reading_options
@option(
    "--clusters",
    metavar="DIR",
    group=INPUT,
    completes=FOLDER,
    callback=checked_clusters,
    help="Folder of the run's clusters, which cluster wrote.",
)
@option(
    "--label",
    metavar="COLUMN",
    group=INPUT,
    help="Column of labels.  [default: label, if there is one]",
)
@bundle_option(text="Model bundle that scored the run.")
@output_option("Page to write; an existing one is replaced.", metavar="FILE.html")
@json_option
@option(
    "--map",
    "projection",
    type=click.Choice(["pca", "umap"]),
    default="pca",
    show_default=True,
    group=_PAGE,
    help="2-D projection of the latents.",
)
@option(
    "--anomalies",
    type=int,
    default=24,
    show_default=True,
    group=_PAGE,
    help="Number of most anomalous records to show (at most 500).",
)
@option(
    "--order",
    type=click.Choice(["score", "region"]),
    default="score",
    show_default=True,
    group=_PAGE,
    help="Show the records with the highest scores, or those with the highest regions.",
)
@seed_option("Random seed of the samples that large runs are reduced to.")
def report(
    *,
    scores: str,
    model: str,
    output: str,
    clusters: str | None,
    inputs: Sequence[str],
    reading: Mapping[str, Any],
    label: str | None,
    projection: str,
    anomalies: int,
    order: Literal["score", "region"],
    seed: int,
    as_json: bool,
) -> None:
    """Write a run's report: one HTML file that works offline."""
    program = load_program("pipelines.report.command", "tensorflow")

    result = program.report(
        scores,
        model,
        output,
        clusters=clusters,
        inputs=inputs,
        reading=reading,
        label=label,
        projection=projection,
        seed=seed,
        anomalies=anomalies,
        order=order,
    )
    print_result(result, as_json, summaries.report_lines)


@click.command(
    cls=Command,
    short_help="Check that every input record was scored or rejected.",
    example="latentbeam verify --scores run/ --input images/",
)
@scores_option()
@inputs_option(text="The inputs that were scored.")
@reading_options
@json_option
@click.pass_context
def verify(
    context: click.Context,
    *,
    scores: str,
    inputs: Sequence[str],
    reading: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Check that every input record is in exactly one of scores and rejects.

    The exit status is 1 if one is not.
    """
    program = load_program("pipelines.commands.verify")

    result = program.verify(scores, inputs, reading)
    print_result(result, as_json, summaries.verified_lines)
    if not result["ok"]:
        context.exit(_MISMATCH)
