"""Review images by keys alone in a real Chromium, and time each step from the key to the next image.

A station judges frames of the paper's size, and all of them wait for a person. A script presses a key as soon
as an image and its facts are on the screen, and counts the rows afterwards. The time from a key to the next
image is the browser's own: from the event to the frame in which the image is drawn. Run it with
``make console-keys``, on a quiet machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from camera import encoded
from consoles import chromium, person_at, running_console
from reviewers import on_screen, press, said, wait_until_sent
from rig import DEMO, Rig, databases, work_folder

if TYPE_CHECKING:
    from playwright.sync_api import Page

KEYS = "pf12"
MAX_SIXTY_S = 60.0  # the bounds that the project has set itself
MAX_MEDIAN_MS = 100.0


def main(
    images: Annotated[int, typer.Option(min=60)] = 500,
    backend: Annotated[str, typer.Option(help="sqlite or postgresql")] = "sqlite",
) -> None:
    """Review ``--images`` images and print the figures; exit with 1 if a bound or a row is wrong."""
    with work_folder("console") as folder, databases(backend, folder) as url:  # noqa: SIM117
        with Rig(folder / "station", DEMO, url, thresholds={"accept": 1.0}) as rig:
            for number in range(images + 10):
                rig.deliver(f"w{number:04}.png", encoded(number, "png", 487, 400))
            sys.stderr.write(f"{rig.once()['inspected']} images wait\n")
            with running_console(rig) as console, chromium() as browser:
                version = browser.version
                with person_at(browser, console, path="/review") as page:
                    expected, sixty, total, took = reviewed(page, images)
                sys.stderr.write(console.log.read_text())
            rows = [row[0] for row in said(rig)]
    figures = {
        "images": images,
        "backend": backend,
        "chromium": version,
        "sixty_s": round(sixty, 1),
        "total_s": round(total, 1),
        "median_ms": round(statistics.median(took), 1),
        "p95_ms": round(took[int(0.95 * len(took))], 1),
        "longest_ms": round(took[-1], 1),
        "timed": len(took),
        "lost_or_twice": len(expected) + len(rows) - 2 * len(set(expected) & set(rows)),
        "in_order": rows == expected,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    is_good = (
        figures["lost_or_twice"] == 0
        and rows == expected
        and len(took) > 0.95 * images  # a key that comes before the frame is drawn has no time
        and sixty < MAX_SIXTY_S
        and statistics.median(took) < MAX_MEDIAN_MS
    )
    raise typer.Exit(not is_good)


def reviewed(page: Page, images: int) -> tuple[list[int], float, float, list[float]]:
    """Review images; return their numbers, seconds for the first 60 and for all, and sorted ms of each."""
    on_screen(page)
    expected, began, sixty = [], time.monotonic(), 0.0
    for turn in range(images):
        expected.append(press(page, KEYS[turn % len(KEYS)]))
        if turn == 59:
            on_screen(page)
            sixty = time.monotonic() - began
    on_screen(page)
    total = time.monotonic() - began
    wait_until_sent(page)
    entries = "performance.getEntriesByName('next-image').map(entry => entry.duration)"
    return expected, sixty, total, sorted(page.evaluate(entries))


if __name__ == "__main__":
    typer.run(main)
