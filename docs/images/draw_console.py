"""Draw docs/images/console/*.jpg: each page of the review console, light, dark and on a phone.

    .venv/bin/python docs/images/draw_report.py FOLDER      (a made-up shop; some minutes)
    .venv/bin/python docs/images/draw_console.py FOLDER

A real daemon judges twelve more synthetic frames of one seam, so that the station of the pictures is at work.
"""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from PIL import Image
from sqlalchemy.engine import make_url

from trainer.synthetic.frames import frames

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "tests" / "support"))  # the tests' station, console and browser
from consoles import chromium, person_at, running_console  # noqa: E402
from stations import Station  # noqa: E402
from waiting import wait_for  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Page

ARTIFACT = HERE.parents[1] / "deploy" / "demo" / "weldnet-synthetic.pt"
MONTH = "since=2026-03-02&until=2026-03-30"
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
HEIGHT, GAP = 480, 12  # pixels of a composed picture


def main(folder: Annotated[Path, typer.Argument(help="made by draw_report.py")]) -> None:
    """Photograph every page."""
    (HERE / "console").mkdir(exist_ok=True)
    url = make_url(f"sqlite:///{folder.resolve() / 'quality.db'}")
    pattern = r"(?P<part>P-\d+)_(?P<seam>S\d+)_"
    station = Station(
        folder.resolve(), ARTIFACT, url, station="cell-3", name_pattern=pattern, timezone="Europe/Berlin"
    )
    daemon = station.start()
    try:
        for number, frame in enumerate(frames(12, seed=5)):
            content = io.BytesIO()
            Image.fromarray(frame.pixels).save(content, "PNG")
            station.deliver(f"P-2601_S1_{number:02}.png", content.getvalue())
        wait_for(station.is_idle)
        station.command("review", "sample", "--count", "6", "--seed", "1")
        number = station.rows("SELECT max(id) FROM inspection WHERE verdict <> 'PASS'")[0][0]
        with running_console(station) as console, chromium() as browser:
            for name, path in pages(number).items():
                shots = []
                for scheme, size in (("light", DESK), ("dark", DESK), ("light", PHONE)):
                    with person_at(
                        browser, console, "clara", path=path, color_scheme=scheme, viewport=size
                    ) as page:
                        settle(page)
                        shots.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
                composed(shots).save(HERE / "console" / f"{name}.jpg", quality=72, optimize=True)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate()


def pages(number: int) -> dict[str, str]:
    """The address of each page, by the name of its picture; ``number`` is an inspection."""
    return {
        "now": "/",
        "review": f"/review?inspection={number}",
        "blind": "/review?why=audit",
        "grid": "/grid?part=P-2507",
        "seam": "/seam?part=P-2507&seam=S1&pass=1",
        "charts": "/charts",
        "p-chart": f"/charts/p_chart?{MONTH}",
        "pareto": f"/charts/pareto?{MONTH}",
        "signals": f"/signals?{MONTH}",
        "find": "/find?q=P-2507",
        "trace": f"/trace/{number}",
        "quarantine": "/quarantine",
        "enough": "/enough",
    }


def settle(page: Page) -> None:
    """Wait until the page has its pictures."""
    if "/review" in page.url:
        ready = "#review[data-ready]:not([data-ready=''])"
        page.wait_for_selector(ready, state="attached", timeout=30_000)
    page.wait_for_load_state("load")
    page.wait_for_timeout(700)  # pictures that are loaded as they come into view


def composed(shots: list[Image.Image]) -> Image.Image:
    """The pictures of one page side by side."""
    scaled = [shot.resize((round(shot.width * HEIGHT / shot.height), HEIGHT)) for shot in shots]
    width = sum(shot.width for shot in scaled) + GAP * (len(scaled) - 1)
    picture, left = Image.new("RGB", (width, HEIGHT), "white"), 0
    for shot in scaled:
        picture.paste(shot, (left, 0))
        left += shot.width + GAP
    return picture


if __name__ == "__main__":
    typer.run(main)
