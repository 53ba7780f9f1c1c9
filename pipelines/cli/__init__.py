"""The command line: parses flags, makes one call, prints results.

Keras and Beam are imported when a command runs, never for `--help`.
"""

from pipelines.cli.commands import cli
from pipelines.cli.entry import main

__all__ = ["cli", "main"]
