"""The demonstration: its plan of two weeks, and a station whose clock stands at the time of each weld."""

from __future__ import annotations

import math
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from inspector import resources
from trainer.synthetic.frames import write

DEMO = resources.folder("deploy") / "demo"
MONDAY = date(2026, 3, 2)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the demo's program, which finds its other module beside itself."""
    monkeypatch.syspath_prepend(str(DEMO))
    for name in ("demo", "two_weeks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return import_module("demo")


def test_the_plan_has_a_fault_that_a_p_chart_finds(demo: ModuleType) -> None:
    """Limits of three sigma from the first week flag the shifts of the fault, and no other."""
    welds = demo.plan(MONDAY, demo.SEED)
    n = Counter((weld.day, weld.shift) for weld in welds)
    failed = Counter((weld.day, weld.shift) for weld in welds if weld.label)
    assert (len(n), set(n.values())) == (20, {6})
    first_week = sum(failed[shift] for shift in n if shift[0] < 7) / sum(
        n[shift] for shift in n if shift[0] < 7
    )
    # A weld's two frames count as two images, as in the station's report
    limit = first_week + 3 * math.sqrt(first_week * (1 - first_week) / (2 * 6))
    assert {shift for shift in n if failed[shift] / n[shift] > limit} == set(demo.FAULT)
    assert [weld.at for weld in welds] == sorted(weld.at for weld in welds)


@pytest.mark.parametrize("days", range(7))
def test_the_two_weeks_are_over(demo: ModuleType, days: int) -> None:
    """On any day of the week the plan begins on a Monday and has ended, so that no row is in the future."""
    today = date(2026, 3, 2) + timedelta(days=days)
    monday = demo.first_monday(today)
    assert monday.weekday() == 0
    last = demo.plan(monday, demo.SEED)[-1].at
    assert last < datetime(today.year, today.month, today.day, tzinfo=UTC)
    assert today - last.date() <= timedelta(days=10)


@pytest.mark.slow
def test_each_frame_counts_in_the_shift_of_its_weld(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real daemon gives rows the day, the shift and the hours of the demo's clock, and loses no file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WELD_OTHERS_MAY_WRITE", "true")
    (demo.STATION / "drop").mkdir(parents=True)
    config = demo.STATION / "config.yaml"
    config.write_text(demo.CONFIG.format(artifact=DEMO / "weldnet-synthetic.pt"))
    shifts = [(0, "early"), (0, "late"), demo.FAULT[0]]  # limits take two subgroups
    welds = [weld for weld in demo.plan(MONDAY, demo.SEED) if (weld.day, weld.shift) in shifts]
    write(demo.STATION / "camera", demo.frames(welds, demo.SEED))
    files = sorted((demo.STATION / "camera").glob("*/*/*.png"), key=demo.taken_at)

    demo.command("weld-inspect", "migrate", "--config", config)
    demo.inspect(config, welds, files)

    rows = demo.ask("SELECT source_name, local_day, shift, seen_us, inspected_us FROM inspection ORDER BY id")
    assert sorted(name for name, *_ in rows) == sorted(file.name for file in files)
    weld_of = {file.name: welds[number // 2] for number, file in enumerate(files)}
    for name, day, shift, seen_us, inspected_us in rows:
        weld = weld_of[name]
        assert (day, shift) == (str(MONDAY + timedelta(days=weld.day)), weld.shift), name
        begin = weld.at.replace(hour=import_module("two_weeks").SHIFTS[shift], minute=0).timestamp() * 1e6
        assert begin <= seen_us <= inspected_us < begin + 8 * 3600e6, name
    assert demo.ask("SELECT count(*) FROM quarantine") == [(4,)]
    assert demo.ask("SELECT count(*) FROM arrival WHERE outcome = 'duplicate'") == [(1,)]
    demo.found(config, MONDAY)
    assert "2026-03-10 late " in capsys.readouterr().out
