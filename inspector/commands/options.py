"""What the commands share: their common options, the settings with the log, and figures for people."""

from __future__ import annotations

import json
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
    """Settings, and the log as they ask for it."""
    from inspector import logs, settings

    loaded = settings.load(config)
    logs.set_up(loaded.log_format)
    return loaded


def seam_rule(settings: Settings) -> dict[str, int]:
    """The settings' rule for failing a seam, as reports take it."""
    return {
        "seam_k": settings.seam_k,
        "seam_n": settings.seam_n,
        "seam_min_frames": settings.seam_min_frames,
    }


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or a line for each figure."""
    if as_json:
        typer.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        typer.echo(
            f"{name.replace('_', ' '):<18} {value:.2f}" if isinstance(value, float) else f"{name:<18} {value}"
        )
