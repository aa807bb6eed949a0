"""A scripted week: 2,000 frames of 200 seams, people who decide 150 of them, each final figure counted again.

    python benchmarks/week.py                          both back ends
    python benchmarks/week.py --backend sqlite

A real daemon judges synthetic frames in three shifts of seven days, by a clock that the week shifts. Each
evening people decide: seams as a whole, single frames, and a CSV file; some disagree later, and some cannot
decide. On Sunday a random sample of PASS images is audited.

Then each report must say what is computed here from the station's verdicts and the answers alone, with other
code than the product's. Each change of a final verdict must be in the results folder. ``reconcile`` must
account for every file. Needs libfaketime (``apt install faketime``).

One file of more than 350 lines: the script, and the second count that it is compared with.
"""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import shifted_clock
import typer
from PIL import Image, ImageOps
from rich.console import Console
from rig import DEMO, databases, work_folder
from shifted_clock import ShiftedRig

SEAMS: Final = 200
FRAMES_PER_SEAM: Final = 10
DECIDED: Final = 150  # seams of which people decide at least one frame
AUDITED: Final = 40  # PASS images
SEED: Final = 7
ZONE: Final = ZoneInfo("Europe/Berlin")
MONDAY: Final = datetime(2026, 3, 23, tzinfo=ZONE)  # ends on the day of summer time
BEGINNINGS: Final = {"early": 7, "late": 15, "night": 23}  # hours at which each shift's seams are welded
SHIFTS: Final = {"early": "06:00", "late": "14:00", "night": "22:00"}
PATTERN: Final = r"^(?P<camera>cam\d)_(?P<part>P-\d+)_S(?P<seam>\d)_(?P<time>\d{8}T\d{6})_"
SEAM_K, SEAM_N, SEAM_MIN_FRAMES = 3, 5, 5  # the settings' defaults

console = Console()


@dataclass
class Frame:
    """A judged frame, as the station's row describes it."""

    id: int
    part: str
    seam: str
    camera: str
    pass_no: int
    taken_us: int
    day: str
    shift: str
    shift_day: str
    verdict: str
    label: str


@dataclass
class Week:
    """All answers of people, in their order; the figures follow from them and the station's verdicts."""

    said: list[tuple[int, str, str | None]] = field(default_factory=list)  # inspection, verdict, label
    of_seams: dict[tuple[str, str], str] = field(default_factory=dict)  # latest verdict on a seam as a whole

    def latest(self) -> dict[int, tuple[str, str | None]]:
        """Return the latest answer on each image."""
        return {inspection: (verdict, label) for inspection, verdict, label in self.said}

    def final(self, frame: Frame) -> str:
        """Return a frame's final verdict."""
        verdict, _ = self.latest().get(frame.id, ("REVIEW", None))
        return frame.verdict if verdict == "REVIEW" else verdict

    def changes(self, frames: Iterable[Frame]) -> Counter[tuple[int, str, str]]:
        """Count the changes of final verdicts, as inspection, old and new verdict."""
        station = {frame.id: frame.verdict for frame in frames}
        now, found = dict(station), Counter[tuple[int, str, str]]()
        for inspection, verdict, _ in self.said:
            new = station[inspection] if verdict == "REVIEW" else verdict
            if new != now[inspection]:
                found[inspection, now[inspection], new] += 1
            now[inspection] = new
        return found


def main(
    backend: Annotated[str | None, typer.Option(help="sqlite or postgresql; default: both")] = None,
    folder: Annotated[Path | None, typer.Option(help="parent of the stations' folders")] = None,
) -> None:
    """Run the week on each back end, and compare every figure."""
    shifter = shifted_clock.library()
    if shifter is None:
        raise SystemExit("libfaketime is not installed (apt install faketime)")
    frames = _synthetic()
    for each in [backend] if backend else ["sqlite", "postgresql"]:
        with work_folder(f"week-{each}", folder) as place, databases(each, place) as url:
            results = place / "results"
            results.mkdir()
            rig = ShiftedRig(
                *(place / "station", DEMO, url),
                shifter=shifter,
                clock=place / "clock",
                timezone=str(ZONE),
                shifts=SHIFTS,
                name_pattern=PATTERN,
                results_folder=str(results),
            )
            with rig:
                figures = _run(rig, frames, results, random.Random(SEED))
        console.print(f"{each}: " + ", ".join(f"{value:,} {name}" for name, value in figures.items()))


def _synthetic() -> list[bytes]:
    """Return synthetic frames, those of one weld next to each other: each as it is, mirrored, and turned."""
    with tempfile.TemporaryDirectory(prefix="weldnet-frames-") as out:
        program = [sys.executable, "-c", "from trainer.commands.cli import main; main()", "synth"]
        count = str(SEAMS * FRAMES_PER_SEAM // 4)
        words = [*program, "--out", f"{out}/frames", "--count", count, "--seed", "11"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        pictures = [
            Image.open(path).convert("L").reduce(2)
            for path in sorted(Path(out).rglob("*.png"), key=lambda path: path.name)
        ]
    ways = (lambda it: it, ImageOps.mirror, ImageOps.flip, lambda it: it.rotate(180))
    return [_png(way(picture)) for way in ways for picture in pictures]


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _run(rig: ShiftedRig, frames: Sequence[bytes], results: Path, chance: random.Random) -> dict[str, int]:
    week = Week()
    chosen = set(chance.sample(range(SEAMS), DECIDED))
    clock_of = list(_shifts())
    rig.launch_ready()
    for number, (day, shift, begins) in enumerate(clock_of):
        rig.set(begins.timestamp() - datetime.now(UTC).timestamp())
        seams = range(number * SEAMS // len(clock_of), (number + 1) * SEAMS // len(clock_of))
        for seam in seams:
            _weld(rig, seam, frames[seam * FRAMES_PER_SEAM :][:FRAMES_PER_SEAM], begins)
        rig.wait_until_idle()
        console.print(f"day {day}, {shift}: {len(seams)} seams")
        _decide(rig, week, [seam for seam in seams if seam in chosen], chance)
    _audit(rig, week, chance)
    judged = _judged(rig)
    wanted = week.changes(judged)
    rig.wait_for(lambda: sum(_sent(results).values()) >= sum(wanted.values()), "each change had its result")
    rig.stop()
    _require("changes in the results folder", _sent(results), wanted)
    _compare(rig, week, judged)
    books = json.loads(_ask(rig, "reconcile", "--json"))
    _require("unaccounted", books["unaccounted"], 0)
    _require("inspected", books["inspected"], SEAMS * FRAMES_PER_SEAM)
    return {
        "images": len(judged),
        "answers": len(week.said),
        "seams decided as a whole": len(week.of_seams),
        "changes sent": sum(wanted.values()),
    } | {f"final {verdict}": n for verdict, n in sorted(Counter(map(week.final, judged)).items())}


def _shifts() -> Iterator[tuple[int, str, datetime]]:
    for day in range(7):
        for shift, hour in BEGINNINGS.items():
            yield day, shift, (MONDAY + timedelta(days=day)).replace(hour=hour, fold=0)


def _weld(rig: ShiftedRig, seam: int, frames: Sequence[bytes], begins: datetime) -> None:
    """Deliver the frames of a seam, one second apart by the camera's clock."""
    for number, content in enumerate(frames):
        at = begins + timedelta(seconds=seam % 10 * 30 + number)
        name = f"cam{seam % 2 + 1}_P-{seam // 2:03}_S{seam % 2}_{at:%Y%m%dT%H%M%S}_{number}.png"
        rig.deliver(name, content)


# --- people -----------------------------------------------------------------------------------------------


def _decide(rig: ShiftedRig, week: Week, seams: Sequence[int], chance: random.Random) -> None:
    """Decide seams of a shift: two as a whole, one by numbers, the others in a CSV file."""
    frames = defaultdict(list)
    for frame in _judged(rig):
        frames[frame.part, frame.seam].append(frame)
    answers: list[tuple[int, str, str | None]] = []
    for place, seam in enumerate(seams):
        part, name = f"P-{seam // 2:03}", f"{seam % 2}"
        mine = frames[part, name]
        verdict = chance.choice(["PASS", "FAIL", "PASS", "FAIL", "REVIEW"])
        if place < 2:
            _ask(rig, *_words("set", verdict, "ann"), "--part", part, "--seam", name)
            week.said += [(frame.id, verdict, None) for frame in mine]
            week.of_seams[part, name] = verdict
        elif place == 2:
            few = [frame.id for frame in chance.sample(mine, 3)]
            label = "burn_through" if verdict == "FAIL" else None
            _ask(rig, *_words("set", verdict, "bob", label), *map(str, few))
            week.said += [(number, verdict, label) for number in few]
        else:
            answers += _one_by_one(mine, chance)
    _import(rig, answers, "ann")
    again = [(number, chance.choice(["PASS", "FAIL", "REVIEW"]), None) for number, *_ in answers[::7]]
    _import(rig, again, "bob")  # who disagrees, or cannot decide
    week.said += answers + again


def _one_by_one(frames: Sequence[Frame], chance: random.Random) -> Iterator[tuple[int, str, str | None]]:
    for frame in chance.sample(frames, chance.randint(1, len(frames))):
        verdict = chance.choice(["PASS", "FAIL", "REVIEW"])
        yield frame.id, verdict, chance.choice(["contamination", None]) if verdict == "FAIL" else None


def _audit(rig: ShiftedRig, week: Week, chance: random.Random) -> None:
    """Draw PASS images of the week at random, and decide each by itself."""
    _ask(rig, "review", "sample", "--count", str(AUDITED), "--seed", "5")
    drawn = [row[0] for row in rig.rows("SELECT inspection_id FROM audit_sample ORDER BY id")]
    for number in drawn[:8]:  # each a command of its own, as the audit asks for
        verdict = chance.choice(["PASS", "PASS", "FAIL"])
        _ask(rig, *_words("set", verdict, "eve"), str(number))
        week.said.append((number, verdict, None))
    rest = [(number, chance.choice(["PASS", "PASS", "FAIL"]), None) for number in drawn[8:]]
    _import(rig, rest, "eve")
    week.said += rest


def _import(rig: ShiftedRig, answers: Sequence[tuple[int, str, str | None]], reviewer: str) -> None:
    if not answers:
        return
    table = rig.folder / "answers.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "human_verdict", "human_label"])
        writer.writerows((number, verdict, label or "") for number, verdict, label in answers)
    _ask(rig, "review", "import", str(table), "--reviewer", reviewer)


def _words(command: str, verdict: str, reviewer: str, label: str | None = None) -> list[str]:
    words = ["review", command, "--verdict", verdict, "--reviewer", reviewer]
    return [*words, "--label", label] if label else words


def _ask(rig: ShiftedRig, *words: str) -> str:
    done = rig.command(*words)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


# --- figures ----------------------------------------------------------------------------------------------

_FRAMES = """
    SELECT id, part, seam, camera, pass_no, taken_us, local_day, shift, shift_day, verdict, label
    FROM inspection ORDER BY id
"""


def _judged(rig: ShiftedRig) -> list[Frame]:
    return [Frame(*row) for row in rig.rows(_FRAMES)]


def _sent(results: Path) -> Counter[tuple[int, str, str]]:
    """Return the changes in the results folder; the same one twice, by its review, counts once."""
    said = {}
    for path in results.glob("*.json"):
        content = json.loads(path.read_bytes())
        if content["outcome"] == "reviewed":
            change = content["inspection"], content["old_verdict"], content["verdict"]
            said[content["review"]] = change
    return Counter(said.values())


def _compare(rig: ShiftedRig, week: Week, frames: Sequence[Frame]) -> None:
    """Compare the reports with counts of our own, by final verdicts and by the station's."""
    for verdicts in ("final", "station"):
        verdict_of = {
            frame.id: week.final(frame) if verdicts == "final" else frame.verdict for frame in frames
        }

        def counts(*keys: str, only: str | None = None, of: dict[int, str] = verdict_of) -> Counter[Any]:
            return Counter(
                tuple(getattr(frame, key) for key in keys) for frame in frames if only in (None, of[frame.id])
            )

        expected = {
            "summary": ((), ()),
            "first_pass_yield": (("day",), ("day",)),
            "first_pass_yield --by shift": (("shift",), ("shift",)),
            "trend --by shift": (("shift_day", "shift"), ("day", "shift")),
            "trend --by day": (("day",), ("day",)),
            "by_part": (("part",), ("part",)),
            "by_seam": (("part", "seam"), ("part", "seam")),
            "by_camera": (("camera",), ("camera",)),
        }
        for report, (keys, columns) in expected.items():
            found = {
                tuple(row[column] for column in columns): [
                    row[n] for n in ("n", "passed", "failed", "review")
                ]
                for row in _report(rig, report, verdicts)
            }
            by_verdict = [counts(*keys, only=only) for only in (None, "PASS", "FAIL", "REVIEW")]
            wanted = {key: [some[key] for some in by_verdict] for key in by_verdict[0]}
            _require(f"{report} ({verdicts})", found, wanted)
        chart = {
            (row["day"], row["shift"]): (row["n"], row["failed"])
            for row in _report(rig, "p_chart --by shift", verdicts)
        }
        n, failed = counts("shift_day", "shift"), counts("shift_day", "shift", only="FAIL")
        _require(f"p_chart ({verdicts})", chart, {key: (n[key], failed[key]) for key in n})
        pareto = {row["class"]: row["n"] for row in _report(rig, "pareto", verdicts)}
        _require(f"pareto ({verdicts})", pareto, dict(_defects(week, frames, verdict_of, verdicts)))
        seams = {(row["part"], row["seam"]): row["verdict"] for row in _report(rig, "seams", verdicts)}
        _require(f"seams ({verdicts})", seams, _seams(week, frames, verdict_of, verdicts))
    column = {row[0]: row[1] for row in rig.rows("SELECT id, final_verdict FROM v_inspection")}
    _require("v_inspection.final_verdict", column, {frame.id: week.final(frame) for frame in frames})


def _report(rig: ShiftedRig, name: str, verdicts: str) -> list[dict[str, Any]]:
    words = ["report", *name.split(), "--verdicts", verdicts, "--format", "json"]
    rows: list[dict[str, Any]] = json.loads(_ask(rig, *words))["rows"]
    return rows


def _defects(
    week: Week, frames: Sequence[Frame], verdict_of: dict[int, str], verdicts: str
) -> Counter[str | None]:
    """Count failed images by the person's class, else the station's class if the station failed them."""
    latest, found = week.latest() if verdicts == "final" else {}, Counter[str | None]()
    for frame in frames:
        if verdict_of[frame.id] == "FAIL":
            _, label = latest.get(frame.id, ("", None))
            said = label if latest.get(frame.id, ("",))[0] == "FAIL" else None
            found[said or (frame.label if frame.verdict == "FAIL" else None)] += 1
    return found


def _seams(
    week: Week, frames: Sequence[Frame], verdict_of: dict[int, str], verdicts: str
) -> dict[tuple[str, str], str]:
    by_seam: dict[tuple[str, str], list[Frame]] = defaultdict(list)
    for frame in sorted(frames, key=lambda frame: (frame.taken_us, frame.id)):
        by_seam[frame.part, frame.seam].append(frame)
    found = {}
    for seam, mine in by_seam.items():
        person = week.of_seams.get(seam) if verdicts == "final" else None
        found[seam] = person if person in ("PASS", "FAIL") else _rule([verdict_of[it.id] for it in mine])
    return found


def _rule(verdicts: Sequence[str]) -> str:
    windows = [verdicts[at : at + SEAM_N] for at in range(max(1, len(verdicts) - SEAM_N + 1))]
    if any(window.count("FAIL") >= SEAM_K for window in windows):
        return "FAIL"
    return "REVIEW" if "REVIEW" in verdicts or len(verdicts) < SEAM_MIN_FRAMES else "PASS"


def _require(what: str, found: Any, wanted: Any) -> None:
    if found == wanted:
        return
    if isinstance(found, dict) and isinstance(wanted, dict):
        differing = [key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)]
        some = ", ".join(f"{key}: {found.get(key)} instead of {wanted.get(key)}" for key in differing[:5])
        raise SystemExit(f"{what}: {len(differing)} differ: {some}")
    raise SystemExit(f"{what}: {found} instead of {wanted}")


if __name__ == "__main__":
    sys.exit(typer.run(main))
