"""Entry point of the Flex Template: its parameters are flags of `latentbeam score`."""

import sys
from collections.abc import Sequence

import click

from pipelines.cli import cli, main

# The image contains all that workers need, and the launcher does not wait for the job.
_ALWAYS = ("--runner=DataflowRunner", "--sdk_location=container", "--no_wait_until_finish")


def score_arguments(parameters: Sequence[str]) -> list[str]:
    """The command's arguments. Switches arrive as `--name=true` or `--name=false`."""
    options = [known for known in cli.commands["score"].params if isinstance(known, click.Option)]
    switches = {name for option in options if option.is_flag for name in option.opts}
    arguments = []
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name not in switches:
            arguments.append(parameter)
        elif value != "false":
            arguments.append(name if value == "true" else parameter)
    return ["score", *arguments, *_ALWAYS]


if __name__ == "__main__":
    main(score_arguments(sys.argv[1:]))
