"""The commands that train and apply a model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import click

from pipelines.cli import summaries
from pipelines.cli.command import (
    FILE,
    FOLDER,
    MODEL,
    OUTPUT,
    RUN,
    Command,
    left_to_the_shell,
    option,
)
from pipelines.cli.folders import checked_bundle
from pipelines.cli.options import (
    SizeType,
    beam_flags,
    bundle_option,
    dry_run_option,
    inputs_option,
    json_option,
    kind_option,
    load_program,
    output_option,
    overwrite_option,
    print_result,
    reading_options,
    seed_option,
    where_option,
)


@click.command(cls=Command, example="latentbeam demo --output latentbeam-demo")
@output_option(
    "Folder to write; files of an earlier demo in it are replaced.",
    required=False,
    default="latentbeam-demo",
    show_default=True,
)
@json_option
def demo(output: str, as_json: bool) -> None:
    """Draw images of parts, train, score, evaluate and write a report."""
    from ae_models.config.extras import packages_of, require

    require("demos", *packages_of("report", "photos"))
    program = load_program("pipelines.commands.demo")

    result = program.demo(output)
    print_result(result, as_json, summaries.demo_lines)


@click.command(
    cls=Command,
    for_beam=True,
    example="latentbeam train --input images/ --where label=good --model vae \\\n"
    "    --output bundle/ --set model.latent_dim=16",
)
@inputs_option()
@where_option
@reading_options
@kind_option(required=True)
@option(
    "--features",
    metavar="BACKBONE|none",
    group=MODEL,
    help="What the model reconstructs: features of efficientnet_lite0, keras:NAME, a .keras file "
    "or a SavedModel, or none for pixels.  [default: for photographs, features of an installed "
    "backbone]",
)
@option(
    "--size",
    type=SizeType(),
    metavar="SIDE|HxW",
    group=MODEL,
    help="Height and width that images are resized to: 64, 64x96.  [default: the images' median "
    "shape, with at most as many pixels as 64x64; for features, a square that suits the backbone]",
)
@option(
    "--primary",
    metavar="NAME|auto",
    group=MODEL,
    help="Primary score, from which p-values are computed; auto: the score that finds the most "
    "anomalies made from held-out images.  [default: reconstruction_smoothed; for features, "
    "combined]",
)
@option(
    "--config",
    metavar="FILE.yaml",
    group=MODEL,
    completes=FILE,
    help="Configuration file. `latentbeam config` prints one with every key and its default.",
)
@option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    group=MODEL,
    help="Set one key of the configuration, such as model.latent_dim=16.",
)
@output_option("Folder of the model bundle to write.", metavar="BUNDLE")
@option(
    "--overwrite",
    is_flag=True,
    group=OUTPUT,
    help="Replace the bundle in --output once the work has succeeded. Without --resume, an "
    "unfinished training is deleted immediately.",
)
@option(
    "--tensorboard",
    metavar="DIR",
    group=OUTPUT,
    completes=FOLDER,
    help="Write each epoch's losses for TensorBoard.",
)
@json_option
@option(
    "--epochs",
    type=int,
    group=RUN,
    help="Maximum number of epochs (early stopping may end training sooner).  [default: by the "
    "number of records]",
)
@seed_option(
    "Random seed; the same seed on the same machine gives the same weights.",
    default=None,
    show_default=False,
)
@option(
    "--resume",
    is_flag=True,
    group=RUN,
    help="Resume the unfinished training of the same command in OUTPUT-unfinished, if there is "
    "one; --epochs N may end it earlier. Leave a finished bundle unchanged.",
)
@dry_run_option(hidden=True)
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
    """Train a model on normal images and write its bundle."""
    program = load_program("pipelines.commands.train")

    flags = beam_flags(context)
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
        beam_flags=flags,
        overwrite=overwrite,
        resume=resume,
        tensorboard=tensorboard,
    )
    print_result(manifest, as_json, lambda _: summaries.trained_lines(manifest, output))


@click.command(
    cls=Command,
    for_beam=True,
    example="latentbeam score --input images/ --model bundle/ --output run/",
)
@inputs_option()
@where_option
@reading_options
@bundle_option()
@option(
    "--fpr", type=float, group=MODEL, help="Flag records with p_value <= FPR.  [default: the "
    "bundle's]"
)  # fmt: skip
@option(
    "--primary",
    metavar="NAME",
    group=MODEL,
    help="Primary score, from which score, p_value and is_anomaly are computed.  [default: the "
    "bundle's]",
)
@output_option("Folder of the run to write.")
@overwrite_option
@option(
    "--outputs",
    metavar="COLUMN[,COLUMN]",
    group=OUTPUT,
    help="Latents and scores to write besides score and p_value.  [default: all]",
)
@option(
    "--maps",
    metavar="all|flagged",
    group=OUTPUT,
    help="Write anomaly maps to OUTPUT/maps: of all records, or of those that are flagged or have "
    "a region.  [default: none]",
)
@option(
    "--map_format",
    type=click.Choice(["parquet", "png"]),
    default="parquet",
    show_default=True,
    group=OUTPUT,
    help="Maps as numbers, or as pictures in OUTPUT/map_pictures: for each map, one of the map "
    "alone and one over the image.",
)
@option(
    "--tiles",
    is_flag=True,
    group=OUTPUT,
    help="Write a row per tile to OUTPUT/tiles (only for a bundle with tiles).",
)
@option(
    "--error_maps", is_flag=True, group=OUTPUT, help="Add a column of each pixel's squared error."
)
@option(
    "--portable_schema",
    is_flag=True,
    group=OUTPUT,
    help="Write plain lists and doubles to Parquet.",
)
@json_option
@option(
    "--checkpoint_every",
    type=int,
    metavar="N",
    group=RUN,
    help="Store the results of every N records (or a few more), so that --resume can reuse them. "
    "Each part starts a pipeline and loads the model: use 100000 or more.",
)
@option(
    "--resume",
    is_flag=True,
    group=RUN,
    help="Resume the unfinished run of the same command in --output, if there is one. Leave a "
    "finished run unchanged.",
)
@option(
    "--max_rejects",
    metavar="N|SHARE",
    group=RUN,
    help="Stop with exit status 1 if more records are rejected: 1000, 1%, 0.01; 100% for no limit. "
    " [default: stop if all are rejected]",
)
@option(
    "--fail_if_empty",
    is_flag=True,
    group=RUN,
    help="End with exit status 1 if no record is scored.",
)
@dry_run_option()
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
    """Score images and write latents, scores and rejects to Parquet."""
    program = load_program("pipelines.commands.score", "tensorflow")

    ledger = program.score(
        inputs,
        model,
        output,
        where=where,
        reading=reading,
        beam_flags=beam_flags(context),
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


@click.command(
    cls=Command,
    short_help="Show what is in a model bundle, and check that it is intact.",
    example="latentbeam inspect bundle/",
)
@click.argument(
    "bundle", callback=checked_bundle, shell_complete=lambda *_: left_to_the_shell(FOLDER)
)
@json_option
def inspect(bundle: str, as_json: bool) -> None:
    """Show a model bundle's manifest, after checking that no byte of the bundle has changed."""
    program = load_program("pipelines.commands.inspect_bundle")

    print_result(
        program.inspect(bundle), as_json, lambda manifest: program.summary(manifest).split("\n")
    )
