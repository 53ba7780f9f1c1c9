"""`latentbeam config`: every key of the configuration with its default and its meaning."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import OUTPUT, Command, option
from pipelines.cli.options import kind_option

if TYPE_CHECKING:
    from ae_models.config.described import ConfigurationKey

_WIDTH, _NARROWEST = 100, 30  # characters: of YAML's comments; of the column of meanings


@click.command(
    cls=Command,
    example="latentbeam config --model dae\n"
    "latentbeam config --model vae > vae.yaml\n"
    "latentbeam train --config vae.yaml --model vae -i images/ -o bundle/",
)
@kind_option(default="vae", show_default=True)
@option("--json", "as_json", is_flag=True, group=OUTPUT, help="Print a list of keys as JSON.")
@option(
    "--yaml",
    "as_yaml",
    is_flag=True,
    group=OUTPUT,
    help="Print YAML on a terminal too, as it is written to a file.",
)
def config(model: str, as_json: bool, as_yaml: bool) -> None:
    """Print every configuration key with its default and its meaning.

    Prints a table on a terminal, elsewhere a YAML file for train --config. train --set overrides
    single keys.
    """
    from ae_models.config.described import configuration_keys

    keys = configuration_keys(model)
    if as_json:
        click.echo(json.dumps([key._asdict() for key in keys], indent=2))
    elif as_yaml or not sys.stdout.isatty():
        click.echo("\n".join(_yaml(keys, model)))
    else:
        click.echo("\n".join(_table(keys, shutil.get_terminal_size().columns)))


def _yaml(keys: Sequence["ConfigurationKey"], kind: str) -> Iterator[str]:
    """A configuration file with all defaults, each below its meaning."""
    yield f"# Defaults of `latentbeam train --model {kind}`. You can delete keys: they keep these."
    for section, members in groupby(keys, key=lambda found: found.section):
        yield f"\n{section}:"
        for key in members:
            text = f"{key.meaning} ({key.type})"
            yield from textwrap.wrap(text, _WIDTH, initial_indent="  # ", subsequent_indent="  # ")
            yield f"  {key.key}: {_as_yaml(key.default)}"


def _table(keys: Sequence["ConfigurationKey"], width: int) -> Iterator[str]:
    """Key, default and meaning in columns, section by section."""
    names = max(len(key.key) for key in keys)
    defaults = max(len(_as_yaml(key.default)) for key in keys)
    indent = " " * (names + defaults + 6)
    for section, members in groupby(keys, key=lambda found: found.section):
        yield f"{section}:"
        for key in members:
            text = f"{key.meaning} ({key.type})"
            first, *rest = textwrap.wrap(text, max(_NARROWEST, width - len(indent)))
            yield f"  {key.key:<{names}}  {_as_yaml(key.default):<{defaults}}  {first}"
            yield from (f"{indent}{line}" for line in rest)
        yield ""


def _as_yaml(value: Any) -> str:
    """A default in YAML: as in JSON, except that names have no quotes."""
    return value if isinstance(value, str) else json.dumps(value)
