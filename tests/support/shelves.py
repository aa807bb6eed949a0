"""Files in archive and quarantine with their rows, like those of a station that has run for years."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ledger_samples import in_force, inspected, quarantined, sha
from sqlalchemy.engine import URL
from stations import Station
from typer.testing import CliRunner, Result
from waiting import HANG_S

from inspector.commands.cli import app
from inspector.ledger.store import Store
from inspector.records import FileStamp, Review, SourceFile, Verdict

DAY_US = 86_400_000_000


def say(station: Station, *words: str) -> Result:
    """Run a command in this process; an expected error comes out as itself."""
    return CliRunner().invoke(app, [*words, "--config", str(station.config)], catch_exceptions=False)


def figures(station: Station, *words: str, status: int = 0) -> dict[str, Any]:
    """The one JSON object that a command prints."""
    done = say(station, *words, "--json")
    assert done.exit_code == status, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def killed(station: Station, point: str, calls: int, *words: str) -> int:
    """Run a command that is killed (-9) before the call of ``point`` that follows so many; its status."""
    program = (
        "import importlib, os, signal, sys\n"
        "module, owner, name = sys.argv[1].rsplit('.', 2)\n"
        "owner, left = getattr(importlib.import_module(module), owner), [int(sys.argv[2])]\n"
        "real = getattr(owner, name)\n"
        "def dying(*words, **more):\n"
        "    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left[0] -= 1\n"
        "    return real(*words, **more)\n"
        "setattr(owner, name, dying)\n"
        "sys.argv[1:3] = []\n"
        "from inspector.commands.cli import main; main()\n"
    )
    command = [sys.executable, "-c", program, point, str(calls), *words, "--config", str(station.config)]
    return subprocess.run(command, capture_output=True, check=False, timeout=HANG_S).returncode


class Shelf(Station):
    """A station that has worked; its files are small and real, their rows as the daemon makes them."""

    def __init__(self, folder: Path, url: URL) -> None:
        super().__init__(folder, folder / "none.pt", url)
        for root in (self.archive, self.quarantine):
            root.mkdir()

    def image(self, name: str, verdict: Verdict = Verdict.PASS, *, days: float = 100) -> int:
        """An archived image of this age; its inspection's number."""
        path = f"2026-01-05/{verdict.value}/{name}"
        at = {"inspected_us": time.time_ns() // 1000 - round(days * DAY_US)}
        return self._shelve(inspected(name, verdict=verdict, path=path, **at), self.archive / path, name)

    def unreadable(self, name: str, reason: str = "truncated", *, days: float = 100) -> int:
        """A quarantined file of this age; its quarantine row's number."""
        path = f"2026-01-05/{reason}/{name.rsplit('/', 1)[-1]}"
        at = {"recorded_us": time.time_ns() // 1000 - round(days * DAY_US)}
        return self._shelve(
            quarantined(name, name, reason=reason, path=path, **at), self.quarantine / path, name
        )

    def review(self, number: int, verdict: Verdict) -> None:
        """A person's word."""
        with Store.open(self.url, "cell-1", seam_gap_s=300) as store:
            store.record_reviews([Review(number, "ann", verdict)])

    def _shelve(self, item: Any, file: Path, content: str) -> int:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        source = SourceFile(_stamp(file), sha(content))
        with Store.open(self.url, "cell-1", seam_gap_s=300) as store:
            [number] = store.record([dataclasses.replace(item, source=source)], in_force(store))
        return number


def _stamp(file: Path) -> FileStamp:
    found = file.lstat()
    return FileStamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
