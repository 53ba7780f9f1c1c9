"""What the commands share: flags, an example at the end of the help, results on stdout.

Nothing here imports Keras or Beam before a command runs.
"""

import contextlib
import functools
import importlib
import json
import re
from typing import Any

import click

from pipelines.console.escape import shown
from pipelines.console.native_lines import native_lines_hidden


class WithExample(click.Command):
    """A command whose help ends with an example, its lines kept as they are."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._example = example

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        del context
        if self._example:
            formatter.write("\nExample:\n\n")
            for line in self._example.splitlines():
                formatter.write(f"  {line}\n")


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


def inputs_option_of(required: bool) -> Any:
    """`--input`, which some commands can do without."""
    return click.option(
        "--input",
        "inputs",
        metavar="URI...",
        multiple=True,
        required=required,
        help="Folder, glob or file of images, Parquet, TFRecord or tar, FILE.npz#test, "
        "builtin:digits.",
    )


inputs_option = inputs_option_of(required=True)
where_option = click.option(
    "--where",
    metavar="COLUMN=VALUE[,VALUE]",
    multiple=True,
    help="Only records whose column is, or with != is not, one of the values. One with a comma is "
    "quoted as in CSV: 'label=\"a,b\",c'.",
)
# How inputs are read, by the names of `transforms.ReadOptions`.
_READING = {
    "format": click.option(
        "--format",
        type=click.Choice(["images", "parquet", "tfrecord", "webdataset", "npz"]),
        help="The kind of every input.  [default: by its name and first bytes]",
    ),
    "image_column": click.option(
        "--image_column", metavar="NAME", help="Column, feature or array of images."
    ),
    "id_column": click.option("--id_column", metavar="NAME", help="Column or feature of ids."),
    "label_column": click.option(
        "--label_column", metavar="NAME", help="Column, feature or array of labels."
    ),
    "exclude": click.option(
        "--exclude",
        metavar="PATTERN",
        multiple=True,
        help="Leave out files whose path in the input matches: '*.tmp', 'old/**'.",
    ),
    "follow_links": click.option(
        "--follow_links", is_flag=True, help="Follow links that lead out of the input's folder."
    ),
}


def reading_options(command: Any) -> Any:
    """The flags of how inputs are read, given to the command as one mapping, `reading`."""

    @functools.wraps(command)
    def gathered(*args: Any, **flags: Any) -> Any:
        reading = {name: flags.pop(name) for name in _READING}
        return command(*args, reading=reading, **flags)

    for option in reversed(_READING.values()):
        gathered = option(gathered)
    return gathered


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace what --output holds, once the work has succeeded."
)


def load_program(name: str, *later: str) -> Any:
    """The module behind a command.

    Args:
      name: of the module.
      later: modules that it imports while it works, and that print lines of native code.
    """
    with native_lines_hidden():
        program = importlib.import_module(name)
        for module in later:
            with contextlib.suppress(ModuleNotFoundError):  # of an extra, which the program names
                importlib.import_module(module)
    from pipelines.console.progress import configure_logging

    configure_logging()
    return program


def print_result(result: Any, as_json: bool, lines: Any) -> None:
    """The result as JSON, or as the lines that `lines` makes of it, on stdout."""
    click.echo(json.dumps(result, indent=2) if as_json else "\n".join(map(shown, lines(result))))
