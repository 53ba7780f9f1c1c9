"""Flags that are left over for Beam."""

from collections.abc import Sequence

import click
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    StandardOptions,
    _BeamArgumentParser,
)

from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError


def check_beam_flags(flags: Sequence[str], own: Sequence[click.Parameter]) -> None:
    """Raises ConfigError for a flag that neither this command nor Beam knows.

    Args:
      flags: what this command did not know.
      own: its own parameters, to suggest from.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for options in sorted(_all_subclasses(PipelineOptions), key=lambda cls: cls.__name__):
        if "_add_argparse_args" in vars(options):
            options._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(flags))
    if unknown:
        name = unknown[0].partition("=")[0]
        if not name.startswith("-"):
            raise ConfigError(f"unexpected argument {name!r}")
        known = [option for parameter in own for option in parameter.opts]
        known += list(parser._option_string_actions)
        hint = suggestion(name, known)
        # Beam knows hundreds of flags: none of them is listed without a near match.
        raise ConfigError(f"unknown flag {name}{hint if 'did you mean' in hint else ''}")


def runner_name(options: PipelineOptions) -> str:
    """`flink` of `--runner=FlinkRunner`: Beam takes names in any case, with or without their module
    and the ending."""
    name = options.view_as(StandardOptions).runner or "direct"
    return name.rpartition(".")[2].lower().removesuffix("runner")


class _Parser(_BeamArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise ConfigError(message)


def _all_subclasses(cls: type[PipelineOptions]) -> set[type[PipelineOptions]]:
    """Of Beam itself: other packages may define options of their own, which do not count."""
    found: set[type[PipelineOptions]] = set()
    for subclass in cls.__subclasses__():
        if subclass.__module__.startswith("apache_beam."):
            found |= {subclass} | _all_subclasses(subclass)
    return found
