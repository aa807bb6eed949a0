"""What the commands share: their common options, the settings with the log, and figures for people."""

from __future__ import annotations

import json
import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from inspector.settings import Settings

Config = Annotated[Path, typer.Option("--config", "-c", help="settings file (YAML)", metavar="F")]
AsJson = Annotated[bool, typer.Option("--json", help="print exactly one JSON object on stdout")]


class Format(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def load(config: Path) -> Settings:
    """Settings, and the log: plain lines on stderr, where journald adds the time."""
    from inspector import settings

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its progress is not the user's business
    return settings.load(config)


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or a line for each figure."""
    if as_json:
        typer.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        typer.echo(
            f"{name.replace('_', ' '):<18} {value:.2f}" if isinstance(value, float) else f"{name:<18} {value}"
        )
