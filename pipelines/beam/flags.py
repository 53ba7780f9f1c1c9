"""Flags that are left over for Beam."""

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
# What comes of Beam's own ways to make a value of a text, where they do not check it.
_UNREADABLE = (AssertionError, AttributeError, RecursionError, TypeError, ValueError)
_HOOK = "_add_argparse_args"  # what Beam's documentation has its users define; to call it is ours


def check_beam_flags(flags: Sequence[str], own: Sequence[click.Parameter] = ()) -> None:
    """Raises ConfigError for a flag that neither this command nor Beam knows, or a value that Beam
    cannot read. Values that may be secrets are in no message.

    Args:
      flags: what this command did not know.
      own: its own parameters, to suggest from.
    """
    unknown, known = _told_apart(flags)
    if unknown:
        name = unknown[0].partition("=")[0]
        if not name.startswith("-"):
            raise ConfigError(f"unexpected argument {_stray(unknown[0], flags)}")
        known = [*(option for parameter in own for option in parameter.opts), *known]
        hint = suggestion(name, known)
        # Beam knows hundreds of flags: none of them is listed without a near match.
        raise ConfigError(f"unknown flag {name}{hint if 'did you mean' in hint else ''}")


def runner_name(options: PipelineOptions) -> str:
    """`flink` of `--runner=FlinkRunner`: Beam takes names in any case, with or without their module
    and the ending."""
    name = options.view_as(StandardOptions).runner or "direct"
    return name.rpartition(".")[2].lower().removesuffix("runner")


def _told_apart(flags: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments that Beam does not know, and the flags that it does.

    Beam itself passes over unknown ones. Its classes of options fill a parser of our own, by a hook
    of theirs; a Beam without that hook is asked what it makes of the flags.
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
    """The first flag that cannot be read by itself, without its value."""
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
    """The argument, but only the flag that it stands behind where it can be part of its value."""
    place = flags.index(argument) if argument in flags else 0
    before = [flag.partition("=")[0] for flag in flags[:place] if flag.startswith("-")]
    return f"behind {before[-1]}" if before else repr(argument)


def _without_secrets(complaint: str) -> str:
    """What argparse says of a flag, less the value unless it may be recorded."""
    if "'" not in complaint:
        return complaint
    match = _OF_A_FLAG.fullmatch(complaint)
    if match is None:
        return "a value of a flag of Beam cannot be used"
    if not RECORDED.isdisjoint(name.lstrip("-") for name in match["names"].split("/")):
        return complaint
    return f"argument {match['names']}: this value cannot be used"


class _Parser(argparse.ArgumentParser):
    """As much of Beam's own parser as its options ask of it. Errors are ConfigErrors."""

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
    """Of Beam itself: other packages may define options of their own, which do not count."""
    found: set[type[PipelineOptions]] = set()
    for subclass in cls.__subclasses__():
        if subclass.__module__.startswith("apache_beam."):
            found |= {subclass} | _all_subclasses(subclass)
    return found
