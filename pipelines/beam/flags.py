"""Flags that are passed on to Beam."""

import argparse
import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any

import click
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError
from pipelines.beam.recorded import RECORDED

_OF_A_FLAG = re.compile(r"argument (?P<names>[^:]+): (?P<complaint>.*)", re.DOTALL)
# Raised by Beam's own conversions of text to values, which do not check it.
_UNREADABLE = (AssertionError, AttributeError, RecursionError, TypeError, ValueError)
_HOOK = "_add_argparse_args"  # documented for users to define, though not to call


def check_beam_flags(flags: Sequence[str], own: Sequence[click.Parameter] = ()) -> None:
    """Raises ConfigError for a flag that neither this command nor Beam supports, or a value that
    Beam cannot read. No message contains values that may be secrets.

    Args:
      flags: the arguments that this command does not have.
      own: the command's own parameters, for suggestions.
    """
    unknown, known = _unknown_and_known(flags)
    if unknown:
        name = unknown[0].partition("=")[0]
        if not name.startswith("-"):
            raise ConfigError(f"unexpected argument {_stray(unknown[0], flags)}")
        known = [*(option for parameter in own for option in parameter.opts), *known]
        hint = suggestion(name, known)
        # Beam has hundreds of flags: they are not listed if there is no near match.
        raise ConfigError(f"unknown flag {name}{hint if 'did you mean' in hint else ''}")


def runner_name(options: PipelineOptions) -> str:
    """`flink` for `--runner=FlinkRunner`: Beam accepts names in any case, with or without the
    module and the ending."""
    name = options.view_as(StandardOptions).runner or "direct"
    return name.rpartition(".")[2].lower().removesuffix("runner")


def _unknown_and_known(flags: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments that Beam does not support, and the flags that it does.

    Beam itself ignores unknown flags. Its option classes fill our own parser through a hook; with a
    version of Beam without that hook, Beam parses the flags.
    """
    parser = _Parser()
    try:
        for options in sorted(_all_subclasses(PipelineOptions), key=lambda cls: cls.__name__):
            if _HOOK in vars(options):
                getattr(options, _HOOK)(parser)
    except (AttributeError, TypeError):
        parser = _Parser()
    if not parser.names:
        return _asked_of_beam(flags)
    try:
        return parser.parse_known_args(list(flags))[1], parser.names
    except _UNREADABLE as error:
        raise ConfigError(f"a value cannot be used: {_culprit(parser, flags)}") from error


def _culprit(parser: argparse.ArgumentParser, flags: Sequence[str]) -> str:
    """The name of the first flag that cannot be read on its own."""
    for flag in flags:
        try:
            with contextlib.suppress(ConfigError):
                parser.parse_known_args([flag])
        except _UNREADABLE:
            return flag.partition("=")[0]
    return "one of " + ", ".join(flag.partition("=")[0] for flag in flags if flag[:1] == "-")


def _asked_of_beam(flags: Sequence[str]) -> tuple[list[str], list[str]]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            known = set(PipelineOptions([]).get_all_options())
            found = PipelineOptions(list(flags)).get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        line = said.getvalue().rstrip().rpartition("\n")[2]
        raise ConfigError(_without_secrets(line.partition("error: ")[2] or line)) from error
    return [f"--{name}" for name in found if name not in known], [f"--{name}" for name in known]


def _stray(argument: str, flags: Sequence[str]) -> str:
    """The argument; or only the flag before it, if the argument can be part of its value."""
    place = flags.index(argument) if argument in flags else 0
    before = [flag.partition("=")[0] for flag in flags[:place] if flag.startswith("-")]
    return f"after {before[-1]}" if before else repr(argument)


def _without_secrets(complaint: str) -> str:
    """argparse's complaint about a flag, without the value unless that may be recorded."""
    if "'" not in complaint:
        return complaint
    match = _OF_A_FLAG.fullmatch(complaint)
    if match is None:
        return "the value of one of Beam's flags cannot be used"
    if not RECORDED.isdisjoint(name.lstrip("-") for name in match["names"].split("/")):
        return complaint
    return f"argument {match['names']}: this value cannot be used"


class _Parser(argparse.ArgumentParser):
    """The part of Beam's own parser that its options need. Errors are ConfigErrors."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self.names: list[str] = []

    def add_argument(self, *names: Any, **settings: Any) -> Any:
        self.names += names
        return super().add_argument(*names, **settings)

    def add_value_provider_argument(self, *names: Any, **settings: Any) -> None:
        self.add_argument(*names, **settings)

    def error(self, message: str) -> None:  # type: ignore[override]
        raise ConfigError(_without_secrets(message))


def _all_subclasses(cls: type[PipelineOptions]) -> set[type[PipelineOptions]]:
    """The subclasses in Beam itself; those of other packages do not count."""
    found: set[type[PipelineOptions]] = set()
    for subclass in cls.__subclasses__():
        if subclass.__module__.startswith("apache_beam."):
            found |= {subclass} | _all_subclasses(subclass)
    return found
