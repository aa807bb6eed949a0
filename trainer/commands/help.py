"""The look of ``--help``, that of ``weld-inspect``: plain text, commands under headings, whole sentences.

It is written again here, since the trainer takes nothing of the station's commands.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

TRAIN, JUDGE, DATA = "Train", "Judge", "Data"  # headings, in this order


class Headings(TyperGroup):
    """A group whose help shows each command's first paragraph whole, below the heading of its panel."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, in the order of their registration below each heading."""
        panels: dict[str, list[tuple[str, str]]] = {TRAIN: [], JUDGE: [], DATA: []}
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
        from importlib.metadata import version

        typer.echo(f"weld-train {version('weldnet-station')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
]
