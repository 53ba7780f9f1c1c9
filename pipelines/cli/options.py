"""What the commands have in common: options, loading programs, printing results.

Nothing here imports Keras or Beam before a command runs.
"""

import contextlib
import functools
import importlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from pipelines.cli.command import FILE, FOLDER, INPUT, MODEL, OUTPUT, RUN, option, with_underscores
from pipelines.cli.folders import checked_bundle, checked_run
from pipelines.cli.tables import Item, rendered
from pipelines.console.escape import shown
from pipelines.console.native_lines import native_lines_hidden

_DRY_RUN = "--dry_run"


class SizeType(click.ParamType):
    """A side, `64`, or a height and a width, `64x96`, as (height, width)."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Raises click.BadParameter unless both sides are whole numbers of pixels."""
        found = re.fullmatch(r"([0-9]{1,6})(?:[x×]([0-9]{1,6}))?", value, re.IGNORECASE)
        height, width = (int(side or found[1]) for side in found.groups()) if found else (0, 0)
        if not (height and width):
            self.fail(
                "must be a side in pixels, 64, or a height and a width, 64x96. "
                f"Received: {value!r}",
                param,
                ctx,
            )
        return height, width


def inputs_option(required: bool = True, text: str = "") -> Any:
    """`--input`, which is optional for some commands."""
    usual = (
        "Folder, glob or file of images, Parquet, TFRecord or tar, FILE.npz#test, builtin:parts "
        "or builtin:digits."
    )
    return option(
        "--input",
        "-i",
        "inputs",
        metavar="URI...",
        multiple=True,
        required=required,
        group=INPUT,
        completes=FILE,
        help=text or usual,
    )


def output_option(text: str, metavar: str = "DIR", **settings: Any) -> Any:
    """`--output`, a folder or a file."""
    return option(
        "--output",
        "-o",
        metavar=metavar,
        group=OUTPUT,
        completes=FILE if metavar.startswith("FILE") else FOLDER,
        help=text,
        **{"required": True, **settings},
    )


def kind_option(**settings: Any) -> Any:
    """`--model`, the kind of a model to train."""
    return option(
        "--model",
        "-m",
        type=click.Choice(["ae", "dae", "vae"]),
        group=MODEL,
        help="Kind of auto-encoder: plain, denoising or variational.",
        **settings,
    )


def bundle_option(required: bool = True, text: str = "Model bundle that train wrote.") -> Any:
    """`--model`, the folder of a bundle."""
    return option(
        "--model",
        "-m",
        metavar="BUNDLE",
        required=required,
        group=MODEL,
        completes=FOLDER,
        callback=checked_bundle,
        help=text,
    )


def scores_option(required: bool = True, text: str = "Run: the folder that score wrote.") -> Any:
    """`--scores`, the folder of a run."""
    return option(
        "--scores",
        metavar="DIR",
        required=required,
        group=INPUT,
        completes=FOLDER,
        callback=checked_run,
        help=text,
    )


where_option = option(
    "--where",
    metavar="COLUMN=VALUE[,VALUE]",
    multiple=True,
    group=INPUT,
    help="Only records whose column is (with !=, is not) one of the values. Quote a value that "
    "contains a comma as in CSV: 'label=\"a,b\",c'.",
)
# Options for reading inputs, by their names in `transforms.ReadOptions`.
_READING = {
    "format": option(
        "--format",
        type=click.Choice(["images", "parquet", "tfrecord", "webdataset", "npz"]),
        group=INPUT,
        help="Format of every input.  [default: by its name and first bytes]",
    ),
    "image_column": option(
        "--image_column", metavar="NAME", group=INPUT, help="Column, feature or array of images."
    ),
    "id_column": option(
        "--id_column", metavar="NAME", group=INPUT, help="Column or feature of ids."
    ),
    "label_column": option(
        "--label_column", metavar="NAME", group=INPUT, help="Column, feature or array of labels."
    ),
    "exclude": option(
        "--exclude",
        metavar="PATTERN",
        multiple=True,
        group=INPUT,
        help="Leave out files whose path in the input matches: '*.tmp', 'old/**'.",
    ),
    "follow_links": option(
        "--follow_links",
        is_flag=True,
        group=INPUT,
        help="Follow links that lead out of the input's folder.",
    ),
}


def reading_options(command: Any) -> Any:
    """Options for reading inputs, passed to the command as one mapping, `reading`."""

    @functools.wraps(command)
    def gathered(*args: Any, **flags: Any) -> Any:
        reading = {name: flags.pop(name) for name in _READING}
        return command(*args, reading=reading, **flags)

    for add in reversed(_READING.values()):
        gathered = add(gathered)
    return gathered


json_option = option(
    "--json", "as_json", is_flag=True, group=OUTPUT, help="Print the result as JSON."
)
overwrite_option = option(
    "--overwrite",
    is_flag=True,
    group=OUTPUT,
    help="Replace the contents of --output once the work has succeeded.",
)


def seed_option(text: str, **settings: Any) -> Any:
    """`--seed`."""
    defaults = {"default": 0, "show_default": True}
    return option("--seed", type=int, group=RUN, help=text, **{**defaults, **settings})


def dry_run_option(hidden: bool = False) -> Any:
    """`--dry_run`, a switch here; as a flag of Beam's, it needs a value, which is accepted too."""
    return option(
        _DRY_RUN,
        type=bool,
        is_flag=False,
        flag_value="true",
        default=False,
        expose_value=False,
        callback=_note_dry_run,
        metavar="",
        hidden=hidden,
        group=RUN,
        help="Check inputs, bundle and options without scoring or writing anything.",
    )


def _note_dry_run(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    context.meta[_DRY_RUN] = value


def beam_flags(context: click.Context) -> list[str]:
    """The options that the command passes on, as Beam spells them.

    Raises:
      ConfigError: Beam does not have such an option, or cannot read its value.
    """
    from pipelines.beam.flags import check_beam_flags

    flags = _underscored(context.args)
    if context.meta.get(_DRY_RUN):
        flags.insert(0, f"{_DRY_RUN}=True")
    check_beam_flags(flags, context.command.params)
    return flags


def _underscored(arguments: Sequence[str]) -> list[str]:
    """Arguments with underscores in the names of flags, of which there are none after `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [*map(with_underscores, arguments[:end]), *arguments[end:]]


def load_program(name: str, *later: str) -> Any:
    """Imports the module of a command.

    Args:
      name: the module's name.
      later: modules that it imports only while it works, whose native code prints lines.
    """
    with native_lines_hidden():
        program = importlib.import_module(name)
        for module in later:
            with contextlib.suppress(ModuleNotFoundError):  # of an extra, which the program names
                importlib.import_module(module)
    from pipelines.console.progress import configure_logging

    configure_logging()
    return program


def print_result(result: Any, as_json: bool, summary: Callable[[Any], Sequence[Item]]) -> None:
    """Prints a result: as JSON, or what `summary` makes of it, aligned on a terminal."""
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    lines = rendered(summary(result), aligned=sys.stdout.isatty())
    click.echo("\n".join(map(shown, lines)))
