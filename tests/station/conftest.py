"""A station, and parts of one: an archive with its drop folder, an intake with a clock, results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deliveries import Delivery
from intakes import Clock, open_intake
from sqlalchemy.engine import URL
from stations import Station

from inspector.station import results
from inspector.station.archive import Archive
from inspector.station.intake import Intake


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with an empty drop folder in it."""
    (tmp_path / "drop").mkdir()
    return tmp_path


@pytest.fixture
def archive(root: Path) -> Archive:
    """The archive and the quarantine beside the drop folder."""
    return Archive(root / "drop", root / "archive", root / "quarantine")


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url: URL) -> Station:
    """A station on each back end in turn."""
    return Station(tmp_path, tiny, url)


@pytest.fixture
def on_sqlite(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> Station:
    """A station on SQLite, for tests in which the back end makes no difference."""
    return Station(tmp_path, tiny, url_of("sqlite"))


@pytest.fixture
def clock() -> Clock:
    """A clock at its start."""
    return Clock()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """An empty drop folder."""
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def start(drop: Path, clock: Clock) -> Iterator[Callable[..., Intake]]:
    """A function that opens the intake, after the test has put its first files there."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_intake(drop, clock, **options))


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that try a folder again after 50 ms."""
    monkeypatch.setattr(results, "_RETRY_S", 0.05)


@pytest.fixture
def delivery(tmp_path: Path, url: URL, quick_retries: None) -> Delivery:
    """A ledger with a results folder, on each back end in turn."""
    made = Delivery(tmp_path, url)
    made.folder.mkdir()
    return made


@pytest.fixture
def local_delivery(tmp_path: Path, url_of: Callable[[str], URL], quick_retries: None) -> Delivery:
    """The same on SQLite, for tests in which the back end makes no difference."""
    made = Delivery(tmp_path, url_of("sqlite"))
    made.folder.mkdir()
    return made
