"""As many files as the settings ask for can be open, or the settings are refused."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from stations import Station

from inspector.errors import SettingsError
from inspector.monitoring.progress import Progress
from inspector.settings import load
from inspector.station import open_files
from inspector.station.service import Notifier
from inspector.upkeep.check import Level, findings


@pytest.fixture(autouse=True)
def limits() -> Iterator[tuple[int, int]]:
    """The limits of this process, which get their values back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def soft_limit() -> int:
    """The number of files that this process may open now."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_the_soft_limit_is_raised_as_far_as_the_settings_need(limits: tuple[int, int]) -> None:
    """A limit that is enough stays; a batch of 256 with 4 threads needs more than the usual 1,024."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, limits[1]))
    open_files.require(8, 2)
    assert soft_limit() == 1024
    assert open_files.require(256, 4) == soft_limit() > 256 * 6


def test_settings_above_the_hard_limit_are_refused_with_the_remedy() -> None:
    """The line has both numbers, and says what to lower or to raise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
        with pytest.raises(SettingsError, match=r"needs 66816 open files.* may open 4096; lower batch_size"):
            open_files.require(256, 256)


def test_check_finds_too_many_open_files_before_the_first_shift(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hard limit below the need is wrong; one above is named."""
    station = Station(tmp_path, tiny, url_of("sqlite"), batch_size=256, threads=4)

    def found() -> tuple[Level, str]:
        return next(
            (f.level, f.detail)
            for f in findings(station.config, load(station.config))
            if f.what == "open files"
        )

    assert found()[0] is Level.OK
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    level, detail = found()
    assert level is Level.WRONG
    assert "may open 1024" in detail


def test_a_message_to_systemd_waits_for_no_descriptor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limits: tuple[int, int]
) -> None:
    """If no file can be opened, a status is not sent, and that is no error."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    notifier = Notifier(Progress())
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    notifier.status("1 inspected")
    notifier.ready()


def test_large_batches_under_a_small_soft_limit_judge_every_image(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], limits: tuple[int, int]
) -> None:
    """More files than the old limit wait at once: none is postponed, and the single pass leaves none."""
    station = Station(tmp_path, tiny, url_of("sqlite"), batch_size=128, threads=2)
    for n in range(400):
        station.put(f"{n}.png", seed=n)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    assert station.once()["inspected"] == 400
    assert not station.rows("SELECT id FROM event WHERE kind = 'read_failed'")
