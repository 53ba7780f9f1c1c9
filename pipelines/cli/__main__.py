"""`python -m pipelines.cli`: the command, where its script is not installed."""

from pipelines.cli.entry import main

main()
