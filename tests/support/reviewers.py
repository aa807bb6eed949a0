"""People who review in the browser, for the tests of the console's review page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from stations import Station
from waiting import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page


def on_screen(page: Page) -> int:
    """Wait until an image and what is known of it are on the screen; return its inspection."""
    # By a selector: the console's policy refuses the eval of wait_for_function.
    page.wait_for_selector("#review[data-ready]:not([data-ready=''])", state="attached")
    return int(page.get_attribute("#review", "data-inspection") or 0)


def press(page: Page, key: str) -> int:
    """Press a key once an image is on the screen; return the inspection that it was for."""
    number = on_screen(page)
    page.keyboard.press(key)
    return number


def wait_until_ahead(page: Page) -> None:
    """Wait until the next images are in the browser's memory, so that it needs no server to show them."""
    page.wait_for_selector("#review[data-ahead='5']", state="attached")


def kept(page: Page, person: str = "anna") -> list[dict[str, object]]:
    """The verdicts that the browser still keeps."""
    found: list[dict[str, object]] = page.evaluate(
        "prefix => Object.keys(localStorage).filter(name => name.startsWith(prefix)).sort()"
        ".map(name => JSON.parse(localStorage.getItem(name)))",
        f"weldnet-outbox:{person}:",
    )
    return found


def keep(page: Page, *items: dict[str, object], person: str = "anna") -> None:
    """Let the browser keep verdicts, as a page does that could not send them."""
    named = {f"weldnet-outbox:{person}:{n:012}:{n}": json.dumps(item) for n, item in enumerate(items, 1)}
    page.evaluate("named => Object.assign(localStorage, named)", named)


def wait_until_sent(page: Page, person: str = "anna") -> None:
    """Wait until every verdict has been acknowledged."""
    wait_for(lambda: page.wait_for_timeout(20) or not kept(page, person))


def said(station: Station, where: str = "1 = 1") -> list[tuple[int, str, str, str | None]]:
    """The rows of people's verdicts, the oldest first: inspection, person, verdict, class."""
    found = station.rows(
        f"SELECT inspection_id, reviewer, verdict, label FROM review WHERE {where} ORDER BY id"
    )
    return [tuple(row) for row in found]
