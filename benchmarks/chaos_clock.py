"""Clock jumps: two years forward, an hour back, autumn's repeated hour, and right again.

Only the daemon's and the commands' clock jumps, and only the wall clock, as when a time server corrects it.
libfaketime (Debian's package ``faketime``) shifts it while the daemon runs, or between two starts. Durations
and the kernel's times of files stay as they are, as if the drop folder were on a file server with a right
clock. The files' mtimes are ahead, behind, at their earliest and far in the future.

Each round ends with the audit of the other scenarios. Besides, each row must have the right values:
``seen_us`` is a time that the station's clock showed then; local day, shift and the shift's day follow from
it; the camera's time is the nearer one of two readings; frames of a seam are one pass exactly if they are
within ``seam_gap_s``. Each arrival has its result file, and ``prune`` removes nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import audit
import shifted_clock
from camera import FORMATS, Sent, encoded, in_place, renamed, sent_as
from chaos_leg import Leg, Scenario, Skipped
from rig import databases
from shifted_clock import ShiftedRig

ZONE: Final = ZoneInfo("Europe/Berlin")
SHIFTS: Final = {"early": "06:00", "late": "14:00", "night": "22:00"}
GAP_S: Final = 300
END_OF_REPEATED_HOUR: Final = datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()  # 3:00 summer time is 2:00
YEAR_S: Final = 365 * 86_400
REPEATED_HOUR: Final = "the repeated hour"
BEFORE_ITS_END_S: Final = 1.5  # where the clock jumps to
BURST: Final = 12  # files before a jump, and as many after it
EXTREME_MTIMES: Final = (
    0,
    datetime(1980, 1, 1, tzinfo=UTC).timestamp(),
    datetime(2100, 1, 1, tzinfo=UTC).timestamp(),
)
MTIMES_AWAY_S: Final = (0, 0, 3600, -3600, 2 * YEAR_S, -2 * YEAR_S)  # from the station's own time
TOLERANCE_S: Final = 0.01  # between two readings of one clock, one of them shifted
SCAN_S: Final = 5.0  # s that a scan may last; a file has the time at which the scan that found it began
TO_REST_S: Final = 20.0  # s until each row must have its result file
PATTERN: Final = r"^(?P<camera>cam\d+)_(?P<part>P-\d+)_S(?P<seam>\d+)_(?P<time>\d{8}-\d{6})_"


class ClockRig(ShiftedRig):
    """A station whose clock jumps, and that remembers when it did."""

    def __init__(self, leg: Leg, library: Path, url: Any) -> None:
        self.results = leg.folder / "results"
        self.results.mkdir()
        super().__init__(
            *(leg.folder / "station", leg.artifact, url),
            shifter=library,
            clock=leg.folder / "clock",
            timezone=str(ZONE),
            shifts=SHIFTS,
            name_pattern=PATTERN,
            seam_gap_s=GAP_S,
            results_folder=str(self.results),
        )

    def has_shown(self, seen_s: float, since: float, until: float) -> bool:
        """Whether its clock showed a time at a moment between two of the machine's time."""
        ends = [beginning for beginning, _ in self.periods[1:]] + [float("inf")]
        for (beginning, away_s), end in zip(self.periods, ends, strict=True):
            first, last = max(beginning, since - SCAN_S), min(end, until)
            if first - TOLERANCE_S <= seen_s - away_s <= last + TOLERANCE_S:
                return True
        return False


class Delivery(NamedTuple):
    """A file in the drop folder."""

    sent: Sent
    part: str
    named_s: int  # the station's time in its name
    since: float  # the machine's time before it was written


def clock_jumps(leg: Leg) -> None:
    """Let the clock jump between two bursts of files of one seam, while the daemon runs or is dead."""
    library = shifted_clock.library()
    if library is None:
        raise Skipped("libfaketime is not installed (apt install faketime)")
    sent: list[Delivery] = []
    jumps = _jumps(leg)
    with databases("sqlite", leg.folder) as url, ClockRig(leg, library, url) as rig:
        decoys = _put_decoys(leg, rig)
        rig.set(
            leg.chance.choice((0, 2 * YEAR_S))
        )  # the first start of a station may have a wrong clock, too
        rig.launch_ready()
        rig.set(0)
        for number in leg.each_round():
            jump, away_s = next(jumps)
            is_killed = number % 4 == 3
            fresh = _burst(leg, rig, number, 0)
            if leg.chance.random() < 0.5:
                rig.wait_until_idle()
            if is_killed:
                rig.kill()
                leg.counts["kills"] += 1
            rig.set(away_s(rig))
            leg.counts[jump] += 1
            fresh += _burst(leg, rig, number, 1)
            if jump == REPEATED_HOUR:
                time.sleep(max(0.0, END_OF_REPEATED_HOUR - rig.now()))
                fresh += _burst(leg, rig, number, 2)
            if is_killed:
                rig.launch_ready()
            rig.wait_until_idle()
            sent += fresh
            if number % 5 == 4:
                _prune(leg, rig)
            _check(leg, rig, fresh, sent, decoys)
        rig.stop()
        leg.check_idle(rig, (delivery.sent for delivery in sent))


def _jumps(leg: Leg) -> Iterator[tuple[str, Callable[[ClockRig], float]]]:
    """Endless jumps, each kind as often as the others: a name, and how far from right the clock is then."""
    kinds: dict[str, Callable[[ClockRig], float]] = {
        "two years forward": lambda _: 2 * YEAR_S,
        "an hour back": lambda rig: rig.away_s - 3600,
        REPEATED_HOUR: lambda _: END_OF_REPEATED_HOUR - BEFORE_ITS_END_S - time.time(),
        "right again": lambda _: 0,
    }
    while True:
        yield from leg.chance.sample(list(kinds.items()), len(kinds))


def _burst(leg: Leg, rig: ClockRig, number: int, burst: int) -> list[Delivery]:
    """Write some files of the round's part, named by the station's local time, with all kinds of mtimes."""
    fresh, part = [], f"P-{number}"
    for each in range(BURST):
        suffix = leg.chance.choice(list(FORMATS))
        named = int(rig.now())
        local = datetime.fromtimestamp(named, ZONE)
        name = f"cam1_{part}_S1_{local:%Y%m%d-%H%M%S}_{burst}-{each}.{suffix}"
        content = encoded((leg.seed * 1000 + number) * 100 + burst * BURST + each, suffix)
        since = time.time()
        leg.chance.choice((in_place, renamed))(rig.drop / name, content)
        mtime = leg.chance.choice((*EXTREME_MTIMES, *(rig.now() + away for away in MTIMES_AWAY_S)))
        with contextlib.suppress(FileNotFoundError):  # it was taken already
            os.utime(rig.drop / name, (mtime, mtime))
        fresh.append(Delivery(sent_as(name, content), part, named, since))
        leg.pause(0.04)
    return fresh


def _put_decoys(leg: Leg, rig: ClockRig) -> dict[Path, tuple[object, ...]]:
    """Files that are not the camera's, or not yet: a picture elsewhere, and half of an upload."""
    decoys = [leg.folder / "elsewhere.png", rig.drop / ".upload.png.tmp"]
    for path in decoys:
        path.write_bytes(encoded(leg.seed, "png"))
        os.utime(path, (0, 0))
    return {path: _state_of(path) for path in decoys}


def _state_of(path: Path) -> tuple[object, ...]:
    if not path.exists():
        return ()
    about = path.stat()
    return about.st_ino, about.st_mtime_ns, path.read_bytes()


def _prune(leg: Leg, rig: ClockRig) -> None:
    """Remove images that are a year old; there are none, so it may refuse the clock or find nothing."""
    words = [word for verdict in ("PASS", "FAIL", "REVIEW") for word in ("--verdict", verdict)]
    done = rig.command("prune", "--older-than", "365", *words, "--unreviewed", "--quarantined", "--delete")
    if done.returncode not in (0, 1):
        leg.problems.append(("database", f"prune ended with status {done.returncode}: {done.stderr}"))
    leg.counts["refusals of prune"] += done.returncode == 1


def _check(
    leg: Leg,
    rig: ClockRig,
    fresh: list[Delivery],
    sent: list[Delivery],
    decoys: dict[Path, tuple[object, ...]],
) -> None:
    """Audit all that was sent so far, and the values in the rows of this round."""
    result = audit.of_a_station_at_rest(rig, (delivery.sent for delivery in sent))
    result.problems.extend(_wrong_values(rig, fresh))
    result.problems.extend(_wrong_passes(rig, fresh[0].part))
    result.problems.extend(_missing_results(rig))
    changed = [path for path, state in decoys.items() if _state_of(path) != state]
    result.problems.extend(("foreign", f"{path} is not as it was") for path in changed)
    leg.note(rig, result)


def _wrong_values(rig: ClockRig, fresh: list[Delivery]) -> Iterator[tuple[str, str]]:
    now = time.time()
    by_name = {delivery.sent.name: delivery for delivery in fresh}
    part = fresh[0].part
    for row in rig.rows(f"SELECT * FROM inspection WHERE part = '{part}'"):
        delivery, seen_s = by_name[row.source_name], row.seen_us / 1e6
        if not rig.has_shown(seen_s, delivery.since, now):
            yield (
                "changed",
                f"{row.source_name} was seen at {_utc(seen_s)}, when the clock showed no such time",
            )
        if (row.local_day, row.shift, row.shift_day) != (expected := _calendar(seen_s)):
            found = row.local_day, row.shift, row.shift_day
            yield "changed", f"{row.source_name}, seen at {_utc(seen_s)}: {found}, must be {expected}"
        is_prompt = -1 <= seen_s - delivery.named_s < 60  # s: no jump between its naming and its close
        camera_s = delivery.named_s if is_prompt else _nearer_reading(row.source_name, seen_s)
        if row.camera_time_us != camera_s * 1_000_000 or row.taken_us != row.camera_time_us:
            yield "changed", f"{row.source_name}: {_utc(row.camera_time_us / 1e6)}, must be {_utc(camera_s)}"


def _calendar(seen_s: float) -> tuple[str, str, str]:
    """Local day, shift, and the day on which that shift began."""
    local = datetime.fromtimestamp(seen_s, ZONE)
    day = local.date()
    shift = "night" if local.hour < 6 or local.hour >= 22 else "early" if local.hour < 14 else "late"
    return str(day), shift, str(day - timedelta(days=local.hour < 6))


def _nearer_reading(name: str, seen_s: float) -> int:
    """Of the two instants that a name's local time can be, the one nearer to when the file was seen."""
    local = datetime.strptime(name.split("_")[3], "%Y%m%d-%H%M%S")
    readings = [int(local.replace(tzinfo=ZONE, fold=fold).timestamp()) for fold in (0, 1)]
    return min(readings, key=lambda reading: abs(seen_s - reading))


def _wrong_passes(rig: ClockRig, part: str) -> Iterator[tuple[str, str]]:
    """Frames of a seam are of one pass if they are near in time, and of two if they are far apart."""
    passes: list[set[int]] = []
    last_us = None
    for row in rig.rows(f"SELECT taken_us, pass_no FROM inspection WHERE part = '{part}' ORDER BY taken_us"):
        if last_us is None or row.taken_us - last_us > GAP_S * 1_000_000:
            passes.append(set())
        passes[-1].add(row.pass_no)
        last_us = row.taken_us
    if any(len(numbers) != 1 for numbers in passes) or len(set().union(*passes)) != len(passes):
        yield "changed", f"part {part} has the passes {passes}, one set for each time without a gap"


def _missing_results(rig: ClockRig) -> Iterator[tuple[str, str]]:
    """Find arrivals without a result file, once the thread that writes them has had its time."""
    until = time.monotonic() + TO_REST_S
    while True:
        files = [path.name for path in rig.results.glob("*.json") if ".review-" not in path.name]
        written = {int(name.split(".")[-2]) for name in files}
        missing = {row.id for row in rig.rows("SELECT id FROM arrival")} - written
        if not missing or time.monotonic() > until:
            break
        time.sleep(0.1)
    yield from (("lost", f"arrival {row} has no result file") for row in sorted(missing))


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


SCENARIOS = {
    "clock-jumps": Scenario(clock_jumps, "clock two years ahead, an hour back, repeated hour", 50, 25)
}
