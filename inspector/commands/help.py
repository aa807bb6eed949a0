"""The look of both programs: plain help with commands under headings, one line for a wrong command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from inspector import resources

STATION, QUALITY, CARE = "Station", "Quality", "Care"  # headings, in this order


class Headings(TyperGroup):
    """A group whose help shows each command's first paragraph whole, below the heading of its panel.

    A wrong command line is one line on stderr, as every other mistake. ``program`` and ``headings``, in their
    order, are those of ``weld-inspect``; another program has its own.
    """

    program = "weld-inspect"
    headings: tuple[str, ...] = (STATION, QUALITY, CARE)
    # Deprecated names of options, by command, with those of today
    renamed: Mapping[str, Mapping[str, str]] = MappingProxyType(
        {"review": {"--why": "--reason"}, "install-artifact": {"--reason": "--note"}}
    )

    def main(self, *args: Any, **named: Any) -> Any:
        """Run the command of the arguments, and end the process with its status."""
        try:
            status = super().main(*args, **named | {"standalone_mode": False, "prog_name": self.program})
        except typer.Abort:
            typer.echo(f"{self.program}: stopped, because a question got no answer", err=True)
            sys.exit(1)
        except Exception as error:
            if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
                raise  # no error of the command line
            text = error.format_message()
            if not text.startswith("Usage: "):  # the help of a command without arguments
                text = self._line(text, getattr(error, "ctx", None))
            typer.echo(text, err=True)
            sys.exit(error.exit_code)
        sys.exit(status if isinstance(status, int) else 0)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; a deprecated name of an option works with one warning."""
        of_today = self.renamed.get(args[0], {}) if args and ctx.parent is None else {}
        for place, word in enumerate(args):
            old, equals, value = word.partition("=")
            if new := of_today.get(old):
                args[place] = f"{new}{equals}{value}"
                typer.echo(f"{self.program}: {old} is now {new}; version 2.0.0 removes {old}", err=True)
        if "--help" in args and not args[0].startswith("-"):
            # Ends with the command's help. To read this group's own options first, typer would load pydantic,
            # which takes longer than all the rest.
            name, command, rest = self.resolve_command(ctx, list(args))
            if command is not None:
                command.make_context(name, rest, parent=ctx)
        return super().parse_args(ctx, args)

    def _line(self, text: str, where: Any) -> str:
        said = " ".join(text.split()).rstrip(".").replace("Value error, ", "")
        hint = f"; see '{where.command_path} --help'" if where else ""
        return f"{self.program}: {said[:1].lower()}{said[1:]}{hint}"

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, in the order of their registration below each heading."""
        panels: dict[str, list[tuple[str, str]]] = {heading: [] for heading in self.headings}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                heading = getattr(command, "rich_help_panel", None)
                sentence = " ".join((command.help or "").partition("\n\n")[0].split())
                panels.setdefault(heading or "Commands", []).append((name, sentence))
        for heading, rows in panels.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def print_version(program: str) -> Callable[[bool], None]:
    """Return the callback of a program's ``--version``."""

    def show(wanted: bool) -> None:
        if wanted:
            typer.echo(f"{program} {resources.version()}")
            raise typer.Exit

    return show


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=print_version(Headings.program), is_eager=True, help="print the version"
    ),
]
