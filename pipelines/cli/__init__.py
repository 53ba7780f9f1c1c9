"""The command line: flags in, one call, results out.

Keras and Beam are imported when a command runs, never for `--help`.
"""

from pipelines.cli.commands import cli
from pipelines.cli.entry import main

__all__ = ["cli", "main"]
