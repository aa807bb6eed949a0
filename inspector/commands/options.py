"""What the commands share: options, the settings with the log, the ledger, and figures for people."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspector.errors import UsageError

if TYPE_CHECKING:
    from inspector.ledger.store import Store
    from inspector.records import Verdict
    from inspector.reports.page.pictures import LocalArchive
    from inspector.settings import Settings

Config = Annotated[Path, typer.Option("--config", "-c", help="settings file (YAML)", metavar="F")]
AsJson = Annotated[bool, typer.Option("--json", help="print exactly one JSON object on stdout")]
Since = Annotated[str | None, typer.Option(help="first instant, ISO date or time in the station's zone")]
Until = Annotated[str | None, typer.Option(help="end of the period, not included")]
Station = Annotated[str | None, typer.Option(help="only this station")]
Part = Annotated[str | None, typer.Option(help="only this part")]


class Format(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="table, csv or json")]


def load(config: Path) -> Settings:
    """Settings, and the log as they ask for it."""
    from inspector import logs, settings

    loaded = settings.load(config)
    logs.set_up(loaded.log_format)
    return loaded


def open_ledger(settings: Settings) -> Store:
    """The station's quality database, to write into."""
    from inspector.ledger.store import Store

    return Store.open(settings.url, settings.station, seam_gap_s=settings.seam_gap_s)


def archive(settings: Settings) -> LocalArchive:
    """The station's archive, to take images from."""
    from inspector.reports.page.pictures import LocalArchive

    return LocalArchive(settings.station, settings.archive_folder)


def seam_rule(settings: Settings) -> dict[str, int]:
    """The settings' rule for failing a seam, as reports take it."""
    return {
        "seam_k": settings.seam_k,
        "seam_n": settings.seam_n,
        "seam_min_frames": settings.seam_min_frames,
    }


def verdict_of(text: str) -> Verdict:
    """The verdict that ``--verdict`` names, in any case of letters.

    Raises:
        UsageError: it is none.
    """
    from inspector.records import Verdict

    if text.upper() not in Verdict.__members__:
        raise UsageError(f"--verdict {text!r} is no verdict; use PASS, FAIL or REVIEW")
    return Verdict(text.upper())


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or a line for each figure."""
    if as_json:
        typer.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        typer.echo(
            f"{name.replace('_', ' '):<18} {value:.2f}" if isinstance(value, float) else f"{name:<18} {value}"
        )
