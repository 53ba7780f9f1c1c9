"""The flags of `latentbeam explore`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from pipelines.cli.options import (
    WithExample,
    inputs_option,
    inputs_option_of,
    json_option,
    load_program,
    print_result,
    reading_options,
    where_option,
)
from pipelines.explore import MOST_SHOWN, MOST_STEPS, MOST_STEPS_OF_A_WAY

_model = click.option("--model", metavar="BUNDLE", required=True, help="Folder that train wrote.")
_output = click.option(
    "--output", metavar="FILE.png", required=True, help="The picture; an earlier one is replaced."
)
_ids = click.option(
    "--ids",
    metavar="ID[,ID]",
    help="Records to show; one with a comma is quoted as in CSV.  [default: chosen at random]",
)


def _count_of(default: int) -> Any:
    return click.option(
        "--count",
        type=int,
        default=default,
        show_default=True,
        help=f"How many to show, {MOST_SHOWN} at most.",
    )


_count = _count_of(10)
_seed = click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Same seed, same picture.",
)


def _flags(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Options of a command, in the order of its help."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_records = _flags(inputs_option, reading_options, _ids, _count, where_option, _seed)


@click.group()
def explore() -> None:
    """Pictures, as PNG files, of what a model does."""


@explore.command(
    cls=WithExample,
    example="latentbeam explore reconstruct --model bundle/ --input images/ --output seen.png",
)
@_flags(_model, _records, _output, json_option)
def reconstruct(as_json: bool, **flags: Any) -> None:
    """Inputs, what the model makes of them, and the errors."""
    _draw("reconstruct", flags, as_json)


@explore.command(
    cls=WithExample,
    example="latentbeam explore locate --model bundle/ --input images/ --output where.png",
)
@_flags(
    _model,
    inputs_option,
    reading_options,
    _ids,
    _count_of(5),
    where_option,
    _seed,
    click.option(
        "--fpr",
        type=float,
        help="Regions are where p_value <= FPR.  [default: the bundle's]",
    ),
    _output,
    json_option,
)
def locate(as_json: bool, **flags: Any) -> None:
    """Where images are anomalous: inputs, overlays with boxes around regions, and maps."""
    _draw("locate", flags, as_json)


@explore.command(
    cls=WithExample,
    example="latentbeam explore denoise --model bundle/ --input images/ --output denoised.png \\\n"
    "    --corruption gaussian_noise:0.5",
)
@_flags(
    _model,
    _records,
    click.option(
        "--corruption",
        metavar="EXPRESSION",
        help="NAME[:AMOUNT] joined by +, as model.corruption.  [default: the model's own]",
    ),
    _output,
    json_option,
)
def denoise(as_json: bool, **flags: Any) -> None:
    """Clean inputs, the same corrupted, and what the model restores of them."""
    _draw("denoise", flags, as_json)


@explore.command(
    cls=WithExample,
    example="latentbeam explore sample --model bundle/ --output samples.png --seed 7",
)
@_flags(_model, _count, _seed, _output, json_option)
def sample(as_json: bool, **flags: Any) -> None:
    """Images that a variational model draws of its own."""
    _draw("sample", flags, as_json)


def _steps(default: int, most: int = MOST_STEPS) -> Any:
    return click.option(
        "--steps",
        type=int,
        default=default,
        show_default=True,
        help=f"Images a row, 2 to {most}.",
    )


@explore.command(
    cls=WithExample,
    example="latentbeam explore traverse --model bundle/ --output dimensions.png\n"
    "latentbeam explore traverse --model ae_bundle/ --input images/ --output dimensions.png",
)
@_flags(
    _model,
    inputs_option_of(required=False),
    reading_options,
    click.option(
        "--around",
        metavar="ID",
        help="Start from this record of --input.  [default: the mean latent]",
    ),
    click.option(
        "--dimensions",
        type=int,
        default=10,
        show_default=True,
        help="At most so many rows, 64 of them.",
    ),
    _steps(7),
    _seed,
    _output,
    json_option,
)
def traverse(as_json: bool, **flags: Any) -> None:
    """What each latent dimension does to the image, the most effective first.

    A VAE's prior says how far a dimension goes; any other model needs --input for that.
    """
    _draw("traverse", flags, as_json)


@explore.command(
    cls=WithExample,
    example="latentbeam explore interpolate --model bundle/ --input images/ --from good/1.png \\\n"
    "    --to good/2.png --output way.png --scores run/ --label label",
)
@_flags(
    _model,
    inputs_option,
    reading_options,
    click.option("--from", "start", metavar="ID", required=True, help="The first record."),
    click.option("--to", "end", metavar="ID", required=True, help="The last one."),
    _steps(9, MOST_STEPS_OF_A_WAY),
    click.option("--scores", metavar="DIR", help="Folder that score wrote, for p(class)."),
    click.option("--label", metavar="COLUMN", help="Its column of classes."),
    _seed,
    _output,
    json_option,
)
def interpolate(as_json: bool, **flags: Any) -> None:
    """The way from one record to another: spherical of a VAE, else straight."""
    _draw("interpolate", flags, as_json)


@explore.command(
    cls=WithExample,
    example="latentbeam explore direction --model bundle/ --scores run/ --label slanted=true \\\n"
    "    --input images/ --output slant.png",
)
@_flags(
    _model,
    click.option("--scores", metavar="DIR", required=True, help="Folder that score wrote."),
    click.option(
        "--label",
        metavar="COLUMN=VALUE[,VALUE]",
        required=True,
        help="Which records have what the direction stands for.",
    ),
    inputs_option_of(required=False),
    reading_options,
    _ids,
    _count_of(5),
    _seed,
    _steps(5),
    _output,
    json_option,
)
def direction(as_json: bool, **flags: Any) -> None:
    """A label's direction in latent space, taken from and added to images.

    Without --input, to the mean of the run's records.
    """
    _draw("direction", flags, as_json)


def _draw(name: str, flags: Mapping[str, Any], as_json: bool) -> None:
    program = load_program(f"pipelines.explore.{name}")
    print_result(getattr(program, name)(**flags), as_json, _lines)


def _lines(result: Mapping[str, Any]) -> Sequence[str]:
    return [f"picture: {result['picture']}"]
