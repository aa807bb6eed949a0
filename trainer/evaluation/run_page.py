"""The page of a run: verdict, figures and pictures in one HTML file that can be sent to a colleague.

It has the look of the station's quality report, and needs no other file. It is made from ``results.json`` and
the files beside it, so a part that the run does not have is left out.
"""

from __future__ import annotations

import base64
import logging
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from trainer.errors import RunError
from trainer.evaluation import wording
from trainer.run.folder import RECIPE_FILE, read_split

log = logging.getLogger(__name__)

PAGE_FILE = "report.html"  # in the run folder
PARTS = ("train", "valid", "test")
TRADE_SHOWN = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # PASS thresholds in the table; the picture has all


def render(results: Mapping[str, Any], folder: Path, made: datetime) -> str:
    """Return the page's HTML.

    Args:
        results: what ``results.json`` holds.
        folder: of the run, with its pictures, recipe and split.
        made: the time that the page gives for its making.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trainer.evaluation", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "interval": _interval}
    level = wording.level_of(results)
    # report.html is being written; a reader of the page has it
    files = {name: text for name, text in wording.files(folder).items() if name != PAGE_FILE}
    return environment.get_template("run_page.html").render(
        r=results,
        name=folder.resolve().name,
        made=made,
        level=level,
        meaning=wording.MEANING[level] if level else "",
        models=results["models"],
        network_name=wording.network_name,
        network_meaning=wording.network_meaning,
        judged=_judged(results),
        pictures={path.stem: _data_url(path) for path in folder.glob("*.png")},
        trade=_trade(results.get("thresholds", {})),
        data=_census(folder),
        recipe=(folder / RECIPE_FILE).read_text(encoding="utf-8"),
        files=files,
        commands=wording.next_commands(results, folder),
    )


def _judged(results: Mapping[str, Any]) -> str:
    """The row of ``models`` that the verdict is about."""
    return "artifact" if "artifact" in results["models"] else "focal"


def _census(folder: Path) -> dict[str, Any] | None:
    """Frames by class and part, runs, and frames that are in groups of near-duplicates.

    None if a power cut has torn the list: the networks and their figures need it no more.
    """
    try:
        rows = read_split(folder)
    except RunError as error:
        log.warning("%s leaves out the frames: %s", PAGE_FILE, error)
        return None
    counts = Counter((row["label"], row["part"]) for row in rows)
    parts = [part for part in PARTS if any(row["part"] == part for row in rows)]
    alike = [row["alike"] for row in rows if row.get("alike")]
    return {
        "parts": parts,
        "classes": {
            name: [counts[name, part] for part in parts] for name in sorted({row["label"] for row in rows})
        },
        "runs": {
            part: len({row["run"] for row in rows if row["part"] == part and row["run"]}) for part in parts
        },
        "without_run": sum(not row["run"] for row in rows),
        "n": len(rows),
        "alike": {"frames": len(alike), "groups": len(set(alike))},
    }


def _trade(thresholds: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A few points of the trade-off, and the chosen one."""
    shown = {*TRADE_SHOWN, thresholds.get("accept")}
    return [point for point in thresholds.get("trade", []) if round(point["accept"], 3) in shown]


def _percent(share: float | None, digits: int = 1) -> str:
    return "" if share is None else f"{100 * share:.{digits}f}%"


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}%"


def _data_url(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")
