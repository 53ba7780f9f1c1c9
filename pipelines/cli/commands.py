"""The command `latentbeam` and what can be asked of it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import click

from pipelines.cli import summaries
from pipelines.cli.explore import explore
from pipelines.cli.options import (
    SizeType,
    WithExample,
    inputs_option,
    json_option,
    load_program,
    overwrite_option,
    print_result,
    reading_options,
    where_option,
)

_MISMATCH = 1
_FOR_BEAM = {"ignore_unknown_options": True, "allow_extra_args": True}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="latentbeam")
def cli() -> None:
    """Finds the odd ones among very many images.

    Trains auto-encoders and applies them in an Apache Beam pipeline, which writes latents, anomaly
    scores and p-values to Parquet.
    """


@cli.command(cls=WithExample, example="latentbeam demo --output latentbeam-demo")
@click.option(
    "--output",
    default="latentbeam-demo",
    show_default=True,
    help="Folder to write; an earlier demo in it is replaced.",
)
@json_option
def demo(output: str, as_json: bool) -> None:
    """Draw images of machined parts, train, score, evaluate and write a report."""
    program = load_program("pipelines.commands.demo")

    result = program.demo(output)
    print_result(result, as_json, summaries.demo_lines)


@cli.command(
    cls=WithExample,
    context_settings=_FOR_BEAM,
    example="latentbeam train --input images/ --where label=good --model vae --output bundle/ \\\n"
    "    --set model.latent_dim=16",
)
@inputs_option
@click.option("--model", type=click.Choice(["ae", "dae", "vae"]), required=True)
@click.option("--output", metavar="BUNDLE", required=True, help="Folder of the model bundle.")
@click.option(
    "--config",
    metavar="FILE.yaml",
    help="Configuration; README and docs/explanation/models.md list its keys.",
)
@click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="One key: model.latent_dim=16."
)
@where_option
@reading_options
@click.option("--size", type=SizeType(), metavar="SIDE|HxW",
              help="Height and width that images are brought to: 64, 64x96.  "
                   "[default: the images' median shape, with at most as many pixels as "
                   "64x64; of features a square that suits the backbone]")  # fmt: skip
@click.option("--features", metavar="BACKBONE|none",
              help="What is rebuilt: features of efficientnet_lite0, keras:NAME, a .keras file "
                   "or a SavedModel, or none for pixels.  [default: of photographs, those of a "
                   "backbone that is installed]")  # fmt: skip
@click.option("--epochs", type=int,
              help="At most so many; early stopping may end sooner.  "
                   "[default: by the number of records]")  # fmt: skip
@click.option("--seed", type=int, help="Same seed, same machine: same weights.")
@click.option("--primary", metavar="NAME|auto",
              help="The score that p-values are made of; auto: the one that finds the most "
                   "anomalies made of held-out images.  "
                   "[default: reconstruction_smoothed, of features combined]")  # fmt: skip
@click.option("--resume", is_flag=True,
              help="Go on with the unfinished training of the same command in OUTPUT-unfinished, "
                   "if there is one, with --epochs N to an earlier end; leave a finished bundle as "
                   "it is.")  # fmt: skip
@click.option("--tensorboard", metavar="DIR", help="Write each epoch's losses for TensorBoard.")
@click.option("--overwrite", is_flag=True,
              help="Replace the bundle in --output, once the work has succeeded. Without --resume, "
                   "an unfinished training is deleted at once.")  # fmt: skip
@json_option
@click.pass_context
def train(
    context: click.Context,
    *,
    inputs: Sequence[str],
    model: str,
    output: str,
    config: str | None,
    overrides: Sequence[str],
    where: Sequence[str],
    reading: Mapping[str, Any],
    size: tuple[int, int] | None,
    features: str | None,
    epochs: int | None,
    seed: int | None,
    primary: str | None,
    resume: bool,
    tensorboard: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train a model on normal images and write its bundle.

    Flags that are not listed here go to Beam.
    """
    program = load_program("pipelines.commands.train")

    beam_flags = _beam_flags(context)
    if size is not None:
        overrides = [*overrides, f"image.height={size[0]}", f"image.width={size[1]}"]
    if primary is not None:
        overrides = [*overrides, f"scoring.primary={primary}"]
    if features is not None:
        overrides = [*overrides, f"features.backbone={json.dumps(features)}"]
    configuration = program.train_configuration(
        model, config, overrides, {"epochs": epochs, "seed": seed}
    )
    manifest = program.train(
        inputs,
        configuration,
        output,
        where=where,
        reading=reading,
        beam_flags=beam_flags,
        overwrite=overwrite,
        resume=resume,
        tensorboard=tensorboard,
    )
    print_result(manifest, as_json, lambda _: summaries.trained_lines(manifest, output))


@cli.command(
    cls=WithExample,
    context_settings=_FOR_BEAM,
    example="latentbeam score --input images/ --model bundle/ --output run/",
)
@inputs_option
@click.option("--model", metavar="BUNDLE", required=True, help="Folder that train wrote.")
@click.option("--output", metavar="DIR", required=True, help="Folder of the run.")
@where_option
@reading_options
@click.option("--fpr", type=float,
              help="Flag p_value <= FPR.  [default: the bundle's]")  # fmt: skip
@click.option("--portable_schema", is_flag=True, help="Plain lists and doubles in Parquet.")
@click.option("--error_maps", is_flag=True, help="A column of each pixel's squared error too.")
@click.option("--maps", metavar="all|flagged",
              help="Keep anomaly maps in OUTPUT/maps: of all records, or of those that are flagged "
                   "or have a region.  [default: none]")  # fmt: skip
@click.option("--map_format", type=click.Choice(["parquet", "png"]), default="parquet",
              show_default=True,
              help="Maps as numbers, or as pictures in OUTPUT/map_pictures: of each map one of its "
                   "own, and one over the image.")  # fmt: skip
@click.option("--tiles", is_flag=True,
              help="Of a bundle that looks at images in tiles: keep a row of each tile in "
                   "OUTPUT/tiles.")  # fmt: skip
@click.option("--outputs", metavar="COLUMN[,COLUMN]",
              help="Only these latents and scores, besides score and p_value.  "
                   "[default: all]")  # fmt: skip
@click.option("--primary", metavar="NAME",
              help="The score that score, p_value and is_anomaly are made of.  "
                   "[default: the bundle's]")  # fmt: skip
@click.option("--checkpoint_every", type=int, metavar="N",
              help="Keep what is done after each N records or a few more, for --resume. Each part "
                   "starts a pipeline and loads the model: 100000 and more.")  # fmt: skip
@click.option("--resume", is_flag=True,
              help="Go on with the unfinished run of the same command in --output, if there is "
                   "one; leave a finished one as it is.")  # fmt: skip
@click.option("--max_rejects", metavar="N|SHARE",
              help="End with exit status 1 if more records are rejected: 1000, 1%, 0.01; 100% for "
                   "no limit.  [default: end so if all are]")  # fmt: skip
@click.option("--fail_if_empty", is_flag=True,
              help="End with exit status 1 if no record is scored.")  # fmt: skip
@overwrite_option
@json_option
@click.pass_context
def score(
    context: click.Context,
    *,
    inputs: Sequence[str],
    model: str,
    output: str,
    where: Sequence[str],
    reading: Mapping[str, Any],
    fpr: float | None,
    portable_schema: bool,
    error_maps: bool,
    maps: str | None,
    map_format: Literal["parquet", "png"],
    tiles: bool,
    outputs: str | None,
    primary: str | None,
    checkpoint_every: int | None,
    resume: bool,
    max_rejects: str | None,
    fail_if_empty: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score images and write latents, scores and rejects to Parquet.

    Flags that are not listed here go to Beam, --runner=FlinkRunner for one.
    """
    program = load_program("pipelines.commands.score", "tensorflow")

    ledger = program.score(
        inputs,
        model,
        output,
        where=where,
        reading=reading,
        beam_flags=_beam_flags(context),
        fpr=fpr,
        overwrite=overwrite,
        portable_schema=portable_schema,
        error_maps=error_maps,
        outputs=None if outputs is None else outputs.split(","),
        primary=primary,
        maps=maps,
        map_format=map_format,
        tiles=tiles,
        checkpoint_every=checkpoint_every,
        resume=resume,
        max_rejects=max_rejects,
        fail_if_empty=fail_if_empty,
    )
    print_result(ledger, as_json, lambda _: summaries.scored_lines(ledger, output))


@cli.command(
    cls=WithExample, example="latentbeam evaluate --scores run/ --anomalous label!=good --json"
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--anomalous", metavar="COLUMN=VALUE[,VALUE]", required=True,
              help="Which records are anomalous in truth; != for all others.")  # fmt: skip
@click.option("--by", metavar="COLUMN",
              help="A row for each of its values among the anomalous records, too.")  # fmt: skip
@click.option("--plot", metavar="FILE.png", help="Draw ROC and precision-recall curves.")
@click.option("--masks", metavar="DIR",
              help="Masks of defects, under the images' paths or MVTec's ground_truth: how well "
                   "maps (score --maps all) tell their pixels.")  # fmt: skip
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
    """AUROC and average precision of each of a run's scores, with intervals, and what is flagged.

    Rates of flags are those of the run's is_anomaly for the primary score, and at the same p-value
    for the others.
    """
    program = load_program("pipelines.commands.evaluate")

    result = program.evaluate(scores, anomalous, by, plot, masks)
    print_result(result, as_json, summaries.evaluated_lines)


@cli.command(
    cls=WithExample, example="latentbeam relabel --scores run/ --output relabelled/ --fdr 0.1"
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--output", metavar="DIR", required=True, help="Folder of the relabelled run.")
@click.option("--fpr", type=float, help="Flag p_value <= FPR.")
@click.option("--fdr", type=float, help="Flag by Benjamini and Hochberg's rule at this rate.")
@click.option("--score", metavar="NAME",
              help="Make score and p_value of this score of the run too, by its bundle's "
                   "calibration.")  # fmt: skip
@click.option("--model", metavar="BUNDLE",
              help="With --score: the bundle.  [default: where score found it]")  # fmt: skip
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
    """Set a run's flags anew, without images and without scoring.

    Exactly one of --fpr and --fdr is given. --fdr bounds the expected share of false flags among
    all flags. --score makes p-values of another score, by the bundle's calibration records.
    """
    program = load_program("pipelines.commands.relabel")

    ledger = program.relabel(scores, output, fpr, fdr, overwrite, score, model)
    print_result(ledger, as_json, lambda _: summaries.relabelled_lines(ledger, output))


@cli.command(
    cls=WithExample,
    context_settings=_FOR_BEAM,
    example="latentbeam cluster --scores run/ --output clusters/ --method n2d --clusters 10",
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--output", metavar="DIR", required=True, help="Folder of the clusters.")
@click.option("--method", type=click.Choice(["kmeans", "gmm", "hdbscan", "n2d"]), default="kmeans",
              show_default=True, help="How clusters are found.")  # fmt: skip
@click.option("--clusters", type=int, metavar="K",
              help="How many.  [default: chosen by the method's criterion]")  # fmt: skip
@click.option("--min_cluster_size", type=int, metavar="N",
              help="Of hdbscan: the least sampled records of a cluster.  "
                   "[default: one in a hundred]")  # fmt: skip
@click.option("--label", metavar="COLUMN",
              help="Column to compare clusters with.  [default: label, if there]")  # fmt: skip
@click.option("--sample", type=int, metavar="N",
              help="Find clusters in at most so many records.  "
                   "[default: 50000; of hdbscan 10000]")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed: same clusters.")
@overwrite_option
@json_option
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

    Clusters are found in a sample of the records; a pipeline gives each record its own. Flags that
    are not listed here go to Beam.
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
        beam_flags=_beam_flags(context),
    )
    print_result(ledger, as_json, lambda _: summaries.clustered_lines(ledger, output))


@cli.command(
    cls=WithExample,
    context_settings=_FOR_BEAM,
    example="latentbeam classify --scores run/ --output classes/ --apply new_run/",
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--label", metavar="COLUMN", default="label", show_default=True,
              help="The column of true classes to fit to.")  # fmt: skip
@click.option("--output", metavar="DIR", required=True, help="Folder of the class probabilities.")
@click.option("--apply", metavar="DIR",
              help="Classify the records of this run, of the same bundle.  "
                   "[default: those of --scores]")  # fmt: skip
@click.option("--components", type=int, default=1, show_default=True, help="Gaussians a class.")
@click.option("--fpr", type=float, default=0.01, show_default=True,
              help="No class where the p-value of the evidence is at most FPR.")  # fmt: skip
@click.option("--sample", type=int, default=50_000, show_default=True,
              help="Fit to at most so many records.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of sample and fit.")
@overwrite_option
@json_option
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
    """p(class | record) from a run's latents and a column of labels, to Parquet.

    By Bayes' rule over Gaussians of each class. A record that is likely under none of them gets
    no class. Flags that are not listed here go to Beam.
    """
    program = load_program("pipelines.commands.classify")

    config = program.ClassConfig(label, components, fpr, sample, seed)
    ledger = program.classify(
        scores, output, config, apply=apply, beam_flags=_beam_flags(context), overwrite=overwrite
    )
    print_result(ledger, as_json, lambda _: summaries.classified_lines(ledger, output))


@cli.command(
    cls=WithExample, example="latentbeam report --scores run/ --model bundle/ --output report.html"
)
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@click.option("--model", metavar="BUNDLE", required=True, help="The bundle that scored it.")
@click.option("--output", metavar="FILE.html", required=True, help="The page; replaced if there.")
@click.option("--clusters", metavar="DIR", help="Folder of the run's clusters.")
@click.option("--input", "inputs", metavar="URI...", multiple=True,
              help="Where the images are now.  [default: where score read them]")  # fmt: skip
@reading_options
@click.option("--label", metavar="COLUMN",
              help="Column of labels.  [default: label, if there is one]")  # fmt: skip
@click.option("--map", "projection", type=click.Choice(["pca", "umap"]), default="pca",
              show_default=True, help="How latents come to lie in two dimensions.")  # fmt: skip
@click.option("--anomalies", type=int, default=24, show_default=True,
              help="How many of the most anomalous records to show, 500 at most.")  # fmt: skip
@click.option("--order", type=click.Choice(["score", "region"]), default="score",
              show_default=True,
              help="Show the records with the highest scores, or those with the highest "
                   "regions.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True,
              help="Of the records that are drawn where there are too many.")  # fmt: skip
@json_option
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


@cli.command(cls=WithExample, example="latentbeam verify --scores run/ --input images/")
@click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote.")
@inputs_option
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

    Exit status 1 if one is not.
    """
    program = load_program("pipelines.commands.verify")

    result = program.verify(scores, inputs, reading)
    print_result(result, as_json, summaries.verified_lines)
    if not result["ok"]:
        context.exit(_MISMATCH)


@cli.command(cls=WithExample, example="latentbeam inspect bundle/")
@click.argument("bundle")
@json_option
def inspect(bundle: str, as_json: bool) -> None:
    """Show what a bundle is, after checking that no byte of it was changed."""
    program = load_program("pipelines.commands.inspect_bundle")

    print_result(
        program.inspect(bundle), as_json, lambda manifest: program.summary(manifest).split("\n")
    )


cli.add_command(explore)


def _beam_flags(context: click.Context) -> list[str]:
    from pipelines.beam.flags import check_beam_flags

    check_beam_flags(context.args, context.command.params)
    return context.args
