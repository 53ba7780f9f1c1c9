"""The command, called as the entry point calls it."""

from collections.abc import Sequence

import pytest

from pipelines.cli import main


def run_command(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Its exit status, and what it wrote to stdout and stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err
