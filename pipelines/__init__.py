"""The command `latentbeam`. Each subcommand is a function in `pipelines.commands`."""

from pipelines.cli import main

__all__ = ["main"]
