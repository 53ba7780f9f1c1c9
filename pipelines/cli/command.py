"""Commands whose help groups its options and ends with an example."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

PROGRAM = "latentbeam"
INPUT, MODEL, OUTPUT, RUN, OTHER = "Input", "Model", "Output", "Run", "Other options"
FILE, FOLDER = "file", "dir"  # click's names for values that the shell completes
_FOR_BEAM = {"ignore_unknown_options": True, "allow_extra_args": True}
_PASSED_ON = "Options that are not listed here are passed on to Beam."
_WIDEST = 26  # characters; the text of a longer flag starts on the next line


class Flag(click.Option):
    """An option that belongs to a group.

    Args:
      group: the heading of its group in the help.
      completes: what the shell completes as its value: `FILE`, `FOLDER`, or nothing.
    """

    def __init__(self, *args: Any, group: str = OTHER, completes: str = "", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.group, self._completes = group, completes

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """The name in messages: only the long one."""
        del ctx
        return f"'{self.opts[0]}'"

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if self._completes:
            return left_to_the_shell(self._completes, incomplete)
        return super().shell_complete(ctx, incomplete)


def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """`click.option` of a `Flag`. The long name comes first: messages name a flag by it."""
    return click.option(*names, cls=Flag, **settings)


class Command(click.Command):
    """A command with grouped options.

    Args:
      example: command lines that end its help.
      for_beam: leaves options that the command does not have in the context's `args`.
    """

    def __init__(self, *args: Any, example: str = "", for_beam: bool = False, **kwargs: Any):
        if for_beam:
            kwargs.setdefault("context_settings", _FOR_BEAM)
            kwargs["help"] = f"{inspect.cleandoc(kwargs.get('help') or '')}\n\n{_PASSED_ON}"
        super().__init__(*args, **kwargs)
        self._example = example

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        records = {
            title: [record for option in options if (record := option.get_help_record(context))]
            for title, options in grouped(self.get_params(context)).items()
        }
        write_sections(formatter, records)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        del context
        write_example(formatter, self._example)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Completes flags, even if begun with hyphens, and further files after `--input a`."""
        if incomplete[:1] != "-":
            return left_to_the_shell(FILE, incomplete)
        return super().shell_complete(ctx, with_underscores(incomplete))


class Group(click.Group):
    """A group of commands with a help in sections.

    Args:
      example: command lines that end its help.
    """

    def __init__(self, *args: Any, example: str = "", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._example = example
        self._sections: dict[str, list[str]] = {}

    def add_section(self, title: str, commands: Sequence[click.Command]) -> None:
        """Adds commands under a heading, in this order."""
        for command in commands:
            self.add_command(command)
        self._sections[title] = [str(command.name) for command in commands]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Prints the help if there are no arguments; click raises it as an error message."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command. Suggests the group of an unknown command that a group contains."""
        name = args[0]
        if name not in self.commands and not ctx.resilient_parsing:
            for group in self.commands.values():
                if isinstance(group, click.Group) and name in group.commands:
                    ctx.fail(f"No such command {name!r}. Did you mean '{group.name} {name}'?")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the help; click sorts them."""
        del ctx
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections = self._sections or {"Commands": self.list_commands(ctx)}
        width = formatter.width - formatter.current_indent
        rows = {
            title: [(name, self.commands[name].get_short_help_str(width)) for name in names]
            for title, names in sections.items()
        }
        write_sections(formatter, rows)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        del context
        write_example(formatter, self._example)


def grouped(parameters: Iterable[click.Parameter]) -> dict[str, list[click.Option]]:
    """The options that help shows, by the headings of their groups; `OTHER` comes last."""
    groups: dict[str, list[click.Option]] = {}
    for parameter in parameters:  # the usage line shows arguments
        if isinstance(parameter, click.Option) and not parameter.hidden:
            groups.setdefault(getattr(parameter, "group", OTHER), []).append(parameter)
    if OTHER in groups:
        groups[OTHER] = groups.pop(OTHER)
    return groups


def with_underscores(flag: str) -> str:
    """`--max_rejects=1%` for `--max-rejects=1%`: changes a flag's name, never its value."""
    if not flag.startswith("--"):
        return flag
    name, equals, value = flag[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def left_to_the_shell(kind: str, incomplete: str = "") -> list[CompletionItem]:
    """The answer that makes the shell complete a `FILE` or a `FOLDER`."""
    return [CompletionItem(incomplete, type=kind)]


def write_sections(
    formatter: click.HelpFormatter, sections: dict[str, list[tuple[str, str]]]
) -> None:
    """Writes definition lists under headings, with their second columns aligned."""
    widths = [len(name) for rows in sections.values() for name, _ in rows]
    widest = max((width for width in widths if width <= _WIDEST), default=0)
    for title, rows in sections.items():
        (name, text), *others = rows
        with formatter.section(title):
            # A list's first column is as wide as its widest cell.
            formatter.write_dl([(name.ljust(widest), text), *others], col_max=widest)


def write_example(formatter: click.HelpFormatter, example: str) -> None:
    """Writes command lines without wrapping them, so that they can be copied."""
    if example:
        _, *others = example.splitlines()
        several = any(line[:1] != " " for line in others)
        formatter.write("\nExamples:\n\n" if several else "\nExample:\n\n")
        for line in example.splitlines():
            formatter.write(f"  {line}\n")
