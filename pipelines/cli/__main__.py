"""`python -m pipelines.cli`: the command, from an environment without its script."""

from pipelines.cli.entry import main

main()
