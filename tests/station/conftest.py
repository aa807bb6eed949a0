"""An archive with its drop folder, for the tests of moves."""

from __future__ import annotations

from pathlib import Path

import pytest

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
