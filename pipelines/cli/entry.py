"""The entry point: runs a command; an error is one line on stderr and an exit status."""

import os
import sys
import traceback
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import click

from pipelines.cli.command import PROGRAM
from pipelines.cli.commands import cli
from pipelines.console.concealed import concealed
from pipelines.console.escape import shown

if TYPE_CHECKING:
    from ae_models.errors import LatentbeamError

_FAULT = 1
_LONGEST = 4000  # characters of a message
_SUGGESTIONS = ("Did you mean", "Choose from")  # click's own
_SEVERAL_VALUES = ("--input", "-i", "--where", "--set")


def repeat_flags(arguments: Sequence[str], flags: Collection[str]) -> list[str]:
    """`--input a b c` as `--input a --input b --input c`, so that a shell's globs work.

    Args:
      arguments: the command line.
      flags: the flags that take several values.
    """
    result: list[str] = []
    current, has_value = "", False
    for argument in arguments:
        if argument.startswith("-"):
            current, has_value = (argument if argument in flags else ""), False
        elif current and has_value:
            result.append(current)
        else:
            has_value = True
        result.append(argument)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; a `LatentbeamError` becomes one line on stderr and its exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = repeat_flags(sys.argv[1:] if arguments is None else arguments, _SEVERAL_VALUES)
    try:
        status = cli.main(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        _fail(_usage_message(error), error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except click.Abort:
        _fail("interrupted", 130)
    except Exception as error:
        known = _known_error(error)
        if known is None:  # a bug
            sys.stderr.write(concealed(traceback.format_exc()))
            sys.exit(_FAULT)
        _fail(str(known), known.exit_status)
    else:
        sys.exit(status if isinstance(status, int) else 0)


def _usage_message(error: click.UsageError) -> str:
    """What is wrong, and where to look if the message itself suggests nothing."""
    message = error.format_message()
    is_value = isinstance(error, click.BadParameter) and not isinstance(
        error, click.MissingParameter
    )
    suggests = any(words in message for words in _SUGGESTIONS)
    if error.ctx is None or is_value or suggests:
        return message
    return f"{message.rstrip('.')}; see `{error.ctx.command_path} --help`"


def _known_error(error: BaseException | None) -> "LatentbeamError | None":
    """The `LatentbeamError`, even if Beam has wrapped it, or None."""
    from ae_models.errors import LatentbeamError

    while error is not None:
        if isinstance(error, LatentbeamError):
            return error
        error = error.__cause__
    return None


def _fail(message: str, status: int) -> None:
    line = shown(concealed(" ".join(message.split())))
    if len(line) > _LONGEST:  # it quotes a very long value
        line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
    print(f"{PROGRAM}: {line}", file=sys.stderr)
    sys.exit(status)
