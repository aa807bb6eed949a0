"""A station, and an archive with its drop folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from stations import Station

from inspector.station.archive import Archive


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
