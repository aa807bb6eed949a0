"""Results that are written into a folder as rows come into a ledger."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.engine import URL
from waiting import wait_for

from inspector.file_names import parse
from inspector.ledger.store import Store
from inspector.station.events import Events
from inspector.station.results import Results

PATTERN = re.compile(r"(?P<camera>cam\d)_(?P<part>P\d+)_(?P<seam>S\d)")


class Delivery:
    """A ledger with a results folder; ``written`` waits until as many results are there."""

    def __init__(self, root: Path, url: URL) -> None:
        self.url = url
        self.folder = root / "results"
        self.position = root / "position"
        self.woken = threading.Event()
        self.events = Events()
        self.zone = ZoneInfo("Europe/Berlin")

    @contextmanager
    def at_work(self) -> Iterator[tuple[Store, Results]]:
        """A store that wakes the results, and the results at work."""
        writer = Results(
            self.folder,
            self.position,
            self.url,
            "cell-1",
            zone=lambda: self.zone,
            describe=lambda name, seen_us: parse(name, PATTERN, ZoneInfo("UTC"), seen_us),
            events=self.events,
            woken=self.woken,
        )
        with writer, Store.open(self.url, "cell-1", seam_gap_s=300, recorded=self.woken.set) as store:
            writer.note_first_start()
            yield store, writer

    def written(self, number: int) -> list[dict[str, Any]]:
        """The results in the order of their rows, as soon as there are so many, and no other file."""
        wait_for(lambda: len(list(self.folder.glob("*.json"))) >= number)
        return read(self.folder)


def read(folder: Path) -> list[dict[str, Any]]:
    """All results of a folder, which holds nothing else, by arrival, then by a person's verdict."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in folder.iterdir()]
    return sorted(found, key=lambda result: (result["arrival"], result["review"] or 0))


def now(**others: Any) -> dict[str, Any]:
    """Times of records that are made now."""
    return {"inspected_us": time.time_ns() // 1000, **others}
