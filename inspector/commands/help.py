"""The look of ``--help``: plain text, commands under headings in a sensible order, whole sentences."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from inspector import resources

STATION, QUALITY, CARE = "Station", "Quality", "Care"  # headings, in this order


class Headings(TyperGroup):
    """A group whose help shows each command's first paragraph whole, below the heading of its panel.

    A wrong command line is one line on stderr, as every other mistake.
    """

    def main(self, *args: Any, **named: Any) -> Any:
        """Run the command of the arguments, and end the process with its status."""
        try:
            status = super().main(*args, **named | {"standalone_mode": False})
        except typer.Abort:  # no answer to a question
            sys.exit(1)
        except Exception as error:
            if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
                raise  # no error of the command line
            text, where = error.format_message(), getattr(error, "ctx", None)
            if not text.startswith("Usage: "):  # the help of a command without arguments
                hint = f"; see '{where.command_path} --help'" if where else ""
                text = f"weld-inspect: {text[:1].lower()}{' '.join(text[1:].split()).rstrip('.')}{hint}"
                text = text.replace("Value error, ", "")
            typer.echo(text, err=True)
            sys.exit(error.exit_code)
        sys.exit(status if isinstance(status, int) else 0)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, in the order of their registration below each heading."""
        panels: dict[str, list[tuple[str, str]]] = {STATION: [], QUALITY: [], CARE: []}
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


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"weld-inspect {resources.version()}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
]
