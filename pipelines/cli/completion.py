"""`latentbeam completion`: scripts that make a shell complete commands, options and files."""

import click
from click.shell_completion import get_completion_class

from pipelines.cli.command import PROGRAM, Command

COMPLETE_VARIABLE = f"_{PROGRAM.upper()}_COMPLETE"  # by which the script asks for completions


@click.command(
    cls=Command,
    example='eval "$(latentbeam completion bash)"     # in ~/.bashrc (bash 4.4 or later)\n'
    'eval "$(latentbeam completion zsh)"      # in ~/.zshrc, after compinit\n'
    "mkdir -p ~/.config/fish/completions\n"
    "latentbeam completion fish > ~/.config/fish/completions/latentbeam.fish",
)
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Evaluate it in the shell's start-up file, as below; then Tab completes commands, options, their
    choices and files.
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"this version of click has no completion for {shell}")
    root = context.find_root().command
    click.echo(script(root, {}, PROGRAM, COMPLETE_VARIABLE).source())
