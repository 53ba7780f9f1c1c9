"""The command `latentbeam`. Its programs, a function each, are in `pipelines.commands`."""

from pipelines.cli import main

__all__ = ["main"]
