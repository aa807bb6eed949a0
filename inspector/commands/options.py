"""Options, settings and output that several commands share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspector.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from inspector.ledger.store import Store
    from inspector.records import Verdict
    from inspector.reports.page.pictures import LocalArchive
    from inspector.review.recorder import Recorder
    from inspector.settings import Settings

CONFIG_HELP = "settings file (YAML); default: $WELD_CONFIG, ./config.yaml or ./station.yaml"
_STATION_FILES = ("config.yaml", "station.yaml")


def found_config() -> Path:
    """The settings file of a command without ``--config``; one that does not exist if none is found."""
    from inspector.settings import CONFIG_VARIABLE

    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    return next((Path(name) for name in _STATION_FILES if Path(name).exists()), Path(_STATION_FILES[0]))


Config = Annotated[
    Path,
    typer.Option(
        "--config", "-c", default_factory=found_config, show_default=False, help=CONFIG_HELP, metavar="F"
    ),
]
OptionalConfig = Annotated[Path | None, typer.Option("--config", "-c", help=CONFIG_HELP, metavar="F")]
AsJson = Annotated[bool, typer.Option("--json", help="print exactly one JSON object on stdout")]
Since = Annotated[
    str | None,
    typer.Option(help="start of the period, inclusive: ISO date or time in the station's time zone"),
]
Until = Annotated[str | None, typer.Option(help="end of the period, exclusive")]
Station = Annotated[str | None, typer.Option(help="only this station, or the stations of this site")]
Part = Annotated[str | None, typer.Option(help="only this part")]
Reviewer = Annotated[
    str | None, typer.Option(help="who looked at the image; default: the user of this computer")
]


class Format(StrEnum):
    """The format in which a report is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="table, csv or json")]


class Verdicts(StrEnum):
    """The verdicts that a report counts."""

    FINAL = "final"
    STATION = "station"


VerdictsOption = Annotated[
    Verdicts | None,
    typer.Option(
        "--verdicts",
        help="final: a person's latest PASS or FAIL, else the station's; station: only those; default: final",
    ),
]


def load(config: Path) -> Settings:
    """Load the settings, and set up the log as they say.

    Raises:
        SettingsError: they are wrong, or there are none.
    """
    from inspector import logs, settings

    require_settings(config)
    loaded = settings.load(config)
    logs.set_up(loaded.log_format)
    return loaded


def require_settings(config: Path) -> None:
    """Say how to name the settings file if there is none.

    Raises:
        SettingsError: none was found.
    """
    if str(config) == _STATION_FILES[0] and not config.exists():
        raise SettingsError(
            "there is no settings file here: give --config F, set WELD_CONFIG, or go to the station's folder "
            f"({' or '.join(_STATION_FILES)})"
        )


def open_ledger(settings: Settings) -> Store:
    """Open the station's quality database for writing."""
    from inspector.ledger.store import Store

    return Store.open(settings.url, settings.station, seam_gap_s=settings.seam_gap_s)


def archive(settings: Settings) -> LocalArchive:
    """The station's archive, to read images from."""
    from inspector.reports.page.pictures import LocalArchive

    return LocalArchive(settings.station, settings.archive_folder)


def seam_rule(settings: Settings) -> dict[str, int]:
    """The rule for failing a seam in the settings, in the form that reports take."""
    return {
        "seam_k": settings.seam_k,
        "seam_n": settings.seam_n,
        "seam_min_frames": settings.seam_min_frames,
    }


def verdict_of(text: str) -> Verdict:
    """The verdict that ``--verdict`` names, in lower or upper case.

    Raises:
        UsageError: the text is not a verdict.
    """
    from inspector.records import Verdict

    if text.upper() not in Verdict.__members__:
        raise UsageError(f"--verdict {text!r} is not a verdict; use PASS, FAIL or REVIEW")
    return Verdict(text.upper())


def open_recorder(settings: Settings) -> AbstractContextManager[Recorder]:
    """Open what adds human verdicts to the quality database."""
    from inspector.review import recorder

    return recorder.open_recorder(
        settings.url, settings.station, seam_gap_s=settings.seam_gap_s, zone=settings.zone
    )


def who(reviewer: str | None, recorder: Recorder) -> str:
    """The name of the person who gives a verdict.

    Raises:
        UsageError: the name is empty, the user of this computer has none, or this account may not use it.
    """
    from inspector.review.client import own_account

    name = (recorder.account or own_account()) if reviewer is None else reviewer.strip()
    if not name:
        raise UsageError("the reviewer has no name; give one with --reviewer")
    if recorder.account not in (None, name):
        raise UsageError(
            f"--reviewer {name!r}: this account gives verdicts as {recorder.account}; leave it out"
        )
    return name


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """Print figures as one JSON object, or one per line."""
    if as_json:
        typer.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        typer.echo(
            f"{name.replace('_', ' '):<18} {value:.2f}" if isinstance(value, float) else f"{name:<18} {value}"
        )


def tracked(what: str) -> Callable[[list[Any]], Iterable[Any]]:
    """A progress bar on stderr, if it is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return lambda items: track(items, what, console=console, transient=True, disable=not sys.stderr.isatty())
