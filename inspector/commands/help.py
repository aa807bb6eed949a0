"""The look of ``--help``: plain text, commands under headings in a sensible order, whole sentences."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from inspector import resources

STATION, QUALITY, CARE = "Station", "Quality", "Care"  # headings, in this order


class Headings(TyperGroup):
    """A group whose help shows each command's first paragraph whole, below the heading of its panel."""

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
