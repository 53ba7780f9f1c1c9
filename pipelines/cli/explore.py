"""The commands of `latentbeam explore`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from pipelines.cli.command import INPUT, Command, Group, option
from pipelines.cli.options import (
    bundle_option,
    inputs_option,
    json_option,
    load_program,
    output_option,
    print_result,
    reading_options,
    scores_option,
    seed_option,
    where_option,
)
from pipelines.cli.tables import Fact, Item
from pipelines.explore import MOST_SHOWN, MOST_STEPS, MOST_STEPS_OF_A_WAY

_PICTURE = "Picture"
_model = bundle_option()
_output = output_option("Picture to write; an existing one is replaced.", metavar="FILE.png")
_seed = seed_option("Random seed; the same seed gives the same picture.")
_ids = option(
    "--ids",
    metavar="ID[,ID]",
    group=INPUT,
    help="Records to show; quote an id that contains a comma as in CSV.  [default: chosen at "
    "random]",
)


def _count_of(default: int) -> Any:
    return option(
        "--count",
        type=int,
        default=default,
        show_default=True,
        group=INPUT,
        help=f"Number of records to show (at most {MOST_SHOWN}).",
    )


_count = _count_of(10)
_count_of_samples = option(
    "--count",
    type=int,
    default=10,
    show_default=True,
    group=_PICTURE,
    help=f"Number of images to generate (at most {MOST_SHOWN}).",
)


def _flags(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Options of a command, in the order of its help."""

    def decorate(command: Any) -> Any:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


_records = _flags(inputs_option(), where_option, reading_options, _ids, _count)


@click.group(
    cls=Group,
    example="latentbeam explore locate --model bundle/ --input images/ --output where.png",
)
def explore() -> None:
    """Draw pictures, as PNG files, of what a model does."""


@explore.command(
    cls=Command,
    example="latentbeam explore reconstruct --model bundle/ --input images/ \\\n"
    "    --output reconstructions.png",
)
@_flags(_records, _model, _output, json_option, _seed)
def reconstruct(as_json: bool, **flags: Any) -> None:
    """Draw inputs, their reconstructions and the errors."""
    _draw("reconstruct", flags, as_json)


@explore.command(
    cls=Command,
    short_help="Draw where images are anomalous, with boxes and anomaly maps.",
    example="latentbeam explore locate --model bundle/ --input images/ --output where.png",
)
@_flags(
    inputs_option(),
    where_option,
    reading_options,
    _ids,
    _count_of(5),
    _model,
    option(
        "--fpr",
        type=float,
        group=_PICTURE,
        help="Draw regions where p_value <= FPR.  [default: the bundle's]",
    ),
    _output,
    json_option,
    _seed,
)
def locate(as_json: bool, **flags: Any) -> None:
    """Draw where images are anomalous: inputs, overlays with boxed regions, anomaly maps."""
    _draw("locate", flags, as_json)


@explore.command(
    cls=Command,
    short_help="Draw what the model restores from corrupted inputs.",
    example="latentbeam explore denoise --model bundle/ --input images/ \\\n"
    "    --output denoised.png --corruption gaussian_noise:0.5",
)
@_flags(
    _records,
    _model,
    option(
        "--corruption",
        metavar="EXPRESSION",
        group=_PICTURE,
        help="NAME[:AMOUNT] joined by +, as in model.corruption.  [default: the model's]",
    ),
    _output,
    json_option,
    _seed,
)
def denoise(as_json: bool, **flags: Any) -> None:
    """Draw clean inputs, corrupted inputs and what the model restores."""
    _draw("denoise", flags, as_json)


@explore.command(
    cls=Command,
    example="latentbeam explore sample --model bundle/ --output samples.png --seed 7",
)
@_flags(_model, _count_of_samples, _output, json_option, _seed)
def sample(as_json: bool, **flags: Any) -> None:
    """Draw images that a variational model generates."""
    _draw("sample", flags, as_json)


def _steps(default: int, most: int = MOST_STEPS) -> Any:
    return option(
        "--steps",
        type=int,
        default=default,
        show_default=True,
        group=_PICTURE,
        help=f"Number of images per row, from 2 to {most}.",
    )


@explore.command(
    cls=Command,
    example="latentbeam explore traverse --model bundle/ --output dimensions.png\n"
    "latentbeam explore traverse --model ae_bundle/ --input images/ \\\n"
    "    --output dimensions.png",
)
@_flags(
    inputs_option(required=False),
    reading_options,
    _model,
    option(
        "--around",
        metavar="ID",
        group=_PICTURE,
        help="Start from this record of --input.  [default: the mean latent]",
    ),
    option(
        "--dimensions",
        type=int,
        default=10,
        show_default=True,
        group=_PICTURE,
        help="Maximum number of rows (at most 64).",
    ),
    _steps(7),
    _output,
    json_option,
    _seed,
)
def traverse(as_json: bool, **flags: Any) -> None:
    """Draw what each latent dimension changes in the image.

    The most effective dimensions come first. A VAE's prior determines their range; other models
    need --input for that.
    """
    _draw("traverse", flags, as_json)


@explore.command(
    cls=Command,
    example="latentbeam explore interpolate --model bundle/ --input images/ \\\n"
    "    --from good/1.png --to good/2.png --output way.png --scores run/ --label label",
)
@_flags(
    inputs_option(),
    option("--from", "start", metavar="ID", required=True, group=INPUT, help="First record."),
    option("--to", "end", metavar="ID", required=True, group=INPUT, help="Last record."),
    reading_options,
    scores_option(required=False, text="Run of this model, to show p(class) along the way."),
    option("--label", metavar="COLUMN", group=INPUT, help="Column of classes in --scores."),
    _model,
    _steps(9, MOST_STEPS_OF_A_WAY),
    _output,
    json_option,
    _seed,
)
def interpolate(as_json: bool, **flags: Any) -> None:
    """Draw the way from one record to another through latent space.

    The way is spherical for a VAE and straight for other models.
    """
    _draw("interpolate", flags, as_json)


@explore.command(
    cls=Command,
    short_help="Draw what a label changes in images.",
    example="latentbeam explore direction --model bundle/ --scores run/ \\\n"
    "    --label slanted=true --input images/ --output slant.png",
)
@_flags(
    scores_option(text="Run of this model: the folder that score wrote."),
    option(
        "--label",
        metavar="COLUMN=VALUE[,VALUE]",
        required=True,
        group=INPUT,
        help="Records that have the attribute whose direction is drawn.",
    ),
    inputs_option(required=False),
    reading_options,
    _ids,
    _count_of(5),
    _model,
    _steps(5),
    _output,
    json_option,
    _seed,
)
def direction(as_json: bool, **flags: Any) -> None:
    """Draw images with a label's direction in latent space subtracted and added.

    Without --input, starts from the mean of the run's records.
    """
    _draw("direction", flags, as_json)


def _draw(name: str, flags: Mapping[str, Any], as_json: bool) -> None:
    program = load_program(f"pipelines.explore.{name}")
    print_result(getattr(program, name)(**flags), as_json, _lines)


def _lines(result: Mapping[str, Any]) -> Sequence[Item]:
    return [Fact("picture", result["picture"])]
